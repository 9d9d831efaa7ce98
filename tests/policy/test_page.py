"""The page about the policies is made from them."""

from __future__ import annotations

from tests.policy.page import PAGE, page


def test_the_page_of_policies_is_up_to_date():
    assert PAGE.read_text() == page(), "run `make generated`"
