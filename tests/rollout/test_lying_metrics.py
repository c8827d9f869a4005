"""A candidate whose metrics lie is judged in error: the plan says what follows, and no exception does."""

from urllib.parse import urlsplit

from tests.rollout.house import House
from tests.support.misbehaving_servers import answer, lying


def test_a_nan_on_the_candidates_page_leads_to_what_on_error_says(house: House) -> None:
    stable = house.stable()
    candidate = house.package("candidate")
    page = f'kubeline_requests_total{{model="{house.name}",version="{candidate.digest[:12]}",code="200"}} NaN\n'
    with lying(answer(page.encode())) as url:
        lies = {"prometheus.kserve.io/port": str(urlsplit(url).port)}
        overrides = {"spec": {"predictor": {"annotations": lies}}}
        record = house.roll_out(candidate, look=None, overrides=overrides, on_error="rollback")
    assert record.outcome == "rolled_back"
    assert "nan is no count" in record.reason
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]
