"""The pipelines that users submit, composed of the components."""
