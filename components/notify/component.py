"""Interface of `notify`."""

from kfp import dsl
from kfp.dsl import PipelineTaskFinalStatus

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def notify(
    status: PipelineTaskFinalStatus,
    title: str = "",
    message: str = "",
    link: str = "",
    only_on: str = "always",
) -> None:
    """Notify people how a pipeline ended: Slack, e-mail, a webhook and a hundred services more, through Apprise.

    Use it as the exit task of a `dsl.ExitHandler`. The channels are Apprise URLs, such as
    `slack://TOKEN_A/TOKEN_B/TOKEN_C`, `mailtos://USER:PASSWORD@HOST?to=TEAM@HOST` or `jsons://HOST/HOOK`. They are
    secrets and so never parameters: set the environment variable `KUBELINE_NOTIFY_URLS` (separated by white space or
    commas) from a Kubernetes secret, or mount a file and name it in `KUBELINE_NOTIFY_URLS_FILE` (lines that begin
    with `#` are comments). With no channel the message goes to the log.

    The message says how the run ended, which step failed and why, and what was decided: verdicts with their reasons,
    the drift, the outcome of a rollout, the registered version. Kubeflow Pipelines does not always pass the truth
    to an exit handler, so the workflow and its pods are asked, else the API server (`KF_PIPELINES_ENDPOINT`), and
    what is not known is reported as not known. Elsewhere the folder of the run's outputs is read.

    It never fails a pipeline: what could not be delivered is logged, without the address, and the step ends well.

    Args:
        status: How the pipeline ended; KFP fills it in.
        title: What the headline names, for example `Flight delays: training`. Empty: the name of the pipeline job.
        message: Text put in front of the status.
        link: Address of a page about this run, put at the end. Empty: that of the environment variable
            `KUBELINE_RUN_PAGE`, in which `{run}` stands for the run's id; on Vertex AI, the console's.
        only_on: `always`, or `failure` to be silent about a pipeline that is known to have succeeded.
    """
    from kubeline.notification import notify as implementation

    implementation.run(status, title=title, message=message, link=link, only_on=only_on)
