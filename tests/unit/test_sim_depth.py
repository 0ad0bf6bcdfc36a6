"""The displayed book told in changes: of every state, and once a second."""

from exchanges.simulated.depth import DepthView

BOOK = (((100, 5), (99, 7)), ((101, 3),))
OTHER = (((100, 4),), ((101, 3), (102, 9)))


def test_a_change_tells_what_differs_and_joins_the_last_one():
    view = DepthView()
    first = view.refresh(*BOOK)
    assert first == (2, 2, [(100, 5), (99, 7)], [(101, 3)])
    assert view.refresh(*BOOK) is None
    view.next_id()
    assert view.refresh(*OTHER) == (3, 4, [(99, 0), (100, 4)], [(102, 9)])


def test_the_slow_stream_tells_at_most_once_a_second_and_never_nothing():
    view = DepthView()
    assert view.of_the_second(1_000) is None
    view.refresh(*BOOK)
    assert view.of_the_second(1_100) == (2, 2, [(100, 5), (99, 7)], [(101, 3)])
    view.refresh(*OTHER)
    view.refresh(*BOOK)
    view.refresh(*OTHER)
    assert view.of_the_second(1_900) is None
    assert view.of_the_second(2_000) == (3, 5, [(99, 0), (100, 4)], [(102, 9)])
    assert view.of_the_second(3_000) is None


def test_what_came_and_went_within_a_second_leaves_ids_but_no_rows():
    view = DepthView()
    view.refresh(*BOOK)
    view.of_the_second(0)
    view.refresh(*OTHER)
    view.refresh(*BOOK)
    assert view.of_the_second(1_000) == (3, 4, [], [])
