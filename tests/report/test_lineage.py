"""Pictures of a stream show every band and every event, whatever the history."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from shoal.errors import BadInputError
from shoal.model.events import KINDS, Event
from shoal.report.palette import contrast
from shoal.report.pictures.events_timeline import events_timeline
from shoal.report.pictures.lineage import MOST_BANDS, _parted, lineage
from shoal.report.pictures.over_time import DARK, LIGHT, colour_of
from shoal.report.share_history import ShareHistory, stacking


def event(kind, time, cluster, parents=(), children=()) -> Event:
    return Event(
        kind, time, cluster, mass=1.0, share=0.1, parents=parents, children=children, detail={"distance": 1.0}
    )


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def drawn(figure, gid):
    return [c for c in figure.axes[0].collections if c.get_gid() == gid]


HISTORY = (
    [0.0, 1.0, 2.0, 3.0],
    [0, 1, 2, 3],
    [[0.7, 0.3, 0, 0], [0.4, 0.3, 0.3, 0], [0.4, 0.1, 0.3, 0.2], [0.7, 0, 0, 0.3]],
)
EVENTS = [
    event("merged", 3.0, 0, (0, 2), (0,)),
    event("split", 1.0, 0, (0,), (0, 2)),
    event("born", 2.0, 3),
    event("died", 3.0, 1),
    event("grew", 1.0, 1),
]


# shares


def test_table_and_arrays_give_the_same_history():
    times, ids, shares = HISTORY
    rows = [(t, c, shares[i][j]) for i, t in enumerate(times) for j, c in enumerate(ids) if shares[i][j] > 0]
    rows = rows[::-1]
    table = pa.table(dict(zip(("time", "cluster", "share"), map(list, zip(*rows, strict=True)), strict=True)))
    one, two = ShareHistory.of(table), ShareHistory.of(HISTORY)
    np.testing.assert_array_equal(one.times, two.times)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_array_equal(one.shares, two.shares)
    assert ShareHistory.of(one) is one


def test_times_are_sorted_and_the_dead_dropped():
    history = ShareHistory.of(([2.0, 1.0], [5, 6, 7], [[0.5, np.nan, 0.5], [1.0, 0.0, np.nan]]))
    assert history.times.tolist() == [1.0, 2.0]
    assert history.ids.tolist() == [5, 7]
    assert history.shares.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_dates_become_seconds():
    at = datetime(2026, 11, 21, 5, tzinfo=UTC)
    kind = pa.timestamp("ms", "Europe/Berlin")
    history = ShareHistory.of(pa.table({"time": pa.array([at], kind), "cluster": [1], "share": [1.0]}))
    assert history.dated
    assert history.times.tolist() == [at.timestamp()]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (([1.0], [1], [[1.0, 2.0]]), "shapes?"),
        (([1.0, 2.0], [1], [[1.0]]), "shape"),
        (([np.nan], [1], [[1.0]]), "not finite"),
        (([1.0], [1, 1], [[0.5, 0.5]]), "occurs twice"),
        (([1.0], [1], [[-0.5]]), "negative"),
        (([1.0], [1], [[np.inf]]), "infinite"),
        (pa.table({"time": [1.0], "id": [1], "share": [1.0]}), "no column named 'cluster'"),
        (pa.table({"time": [1.0, 1.0], "cluster": [1, 1], "share": [1.0, 0.5]}), "twice at one time"),
        (pa.table({"time": [1.0, None], "cluster": [1, 1], "share": [1.0, 0.5]}), "is missing"),
    ],
)
def test_shares_that_cannot_be_read(data, said):
    with pytest.raises(BadInputError, match=said):
        ShareHistory.of(data)


# the order of bands


def test_what_splits_off_lies_beside_its_parent_the_latest_nearest():
    events = [event("split", 1.0, 0, (0,), (0, 5)), event("split", 9.0, 0, (0,), (0, 6))]
    assert stacking([0, 1, 5, 6], events) == [0, 6, 5, 1]


def test_what_is_merged_lies_beside_its_heir_the_first_nearest():
    events = [event("merged", 1.0, 9, (3, 9), (9,)), event("merged", 5.0, 9, (4, 9), (9,))]
    assert stacking([3, 4, 6, 9], events) == [6, 4, 3, 9]


def test_a_split_into_new_ids_only_and_a_merge_under_a_new_id():
    assert stacking([1, 2, 7, 8], [event("split", 1.0, 1, (1,), (7, 8))]) == [1, 7, 8, 2]
    assert stacking([1, 2, 3, 9], [event("merged", 1.0, 9, (1, 3), (9,))]) == [2, 1, 3, 9]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["split", "merged", "born", "died"]),
            st.floats(0, 9),
            st.integers(0, 6),
            st.lists(st.integers(0, 6), max_size=3),
            st.lists(st.integers(0, 6), max_size=3),
        ),
        max_size=12,
    ),
    st.sets(st.integers(0, 8)),
)
def test_every_id_has_exactly_one_place_whatever_the_events(told, ids):
    events = [event(k, t, c, tuple(p), tuple(q)) for k, t, c, p, q in told]
    assert sorted(stacking(sorted(ids), events)) == sorted(ids)


@given(st.lists(st.floats(0, 1), max_size=30).map(sorted), st.floats(0.001, 0.05))
def test_names_are_parted_and_keep_their_order(wanted, gap):
    places = _parted(np.array(wanted), gap, 2.0)
    assert (np.diff(places) >= gap * 0.999).all()
    assert len(places) == len(wanted)
    assert (places >= -1e-9).all()


# the lineage


def test_every_cluster_has_a_band_and_the_living_a_name():
    figure = lineage(EVENTS, HISTORY)
    for cluster in range(4):
        assert len(drawn(figure, f"cluster-{cluster}")) == 1
    assert {"0  70%", "3  30%"} <= set(texts(figure))
    assert "4 clusters over time" in texts(figure)


def test_a_band_is_as_thick_as_its_share_and_lies_on_the_one_before():
    figure = lineage(EVENTS, HISTORY)

    def height(cluster, x):
        corners = np.concatenate([p.vertices for p in drawn(figure, f"cluster-{cluster}")[0].get_paths()])
        here = corners[corners[:, 0] == x, 1]
        return here.min(), here.max()

    # 2 split off 0 and merged into it again, so the two are neighbours
    assert height(2, 1.0) == pytest.approx((0.0, 0.3))
    assert height(0, 1.0) == pytest.approx((0.3, 0.7))
    assert height(1, 1.0) == pytest.approx((0.7, 1.0))


def test_a_band_ends_where_its_cluster_died():
    figure = lineage(
        [], ([0.0, 1.0, 2.0, 3.0, 4.0], [0, 1], [[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0], [1, 0]])
    )
    paths = drawn(figure, "cluster-1")[0].get_paths()
    assert max(p.vertices[:, 0].max() for p in paths) == 2.0


def test_each_event_has_a_mark_in_its_place():
    figure = lineage(EVENTS, HISTORY)
    for kind, x in (("born", 2.0), ("died", 3.0), ("split", 1.0), ("merged", 3.0)):
        (marks,) = drawn(figure, f"events-{kind}")
        assert marks.get_offsets()[:, 0].tolist() == [x]
    assert drawn(figure, "events-grew") == []
    legend = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert legend == ["born 1", "died 1", "split 1", "merged 1"]
    assert len(figure.axes[0].lines) == 2  # the split and the merge are joined to the other band


def test_events_of_clusters_or_times_without_shares_are_counted_but_not_drawn():
    events = [event("born", 2.0, 99), event("born", 50.0, 3), event("split", 1.0, 98, (98,), (98, 97))]
    figure = lineage(events, HISTORY)
    assert drawn(figure, "events-born") == drawn(figure, "events-split") == []
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["born 2", "split 1"]


def test_very_many_clusters_share_a_grey_band():
    n = MOST_BANDS + 15
    shares = np.random.default_rng(0).dirichlet(np.ones(n), 20)
    figure = lineage([], (np.arange(20.0), np.arange(n), shares))
    bands = [c for c in figure.axes[0].collections if str(c.get_gid()).startswith("cluster-")]
    assert len(bands) == MOST_BANDS
    assert len(drawn(figure, "others")) == 1
    assert any("grey: 15 smaller clusters" in t for t in texts(figure))


@pytest.mark.parametrize(
    "shares",
    [
        ([], [], np.empty((0, 0))),
        ([1.0], [7], [[1.0]]),
        ([1.0, 1.0], [7, 8], [[0.5, 0.5], [0.2, 0.8]]),
        ([1.0, 2.0], [7], [[0.0], [0.0]]),
        (np.arange(5000.0), [7], np.ones((5000, 1))),
        (np.array(["2026-11-21T05:00"], "datetime64[m]"), [7], [[1.0]]),
        (np.array(["2026-11-21", "2026-11-25"], "datetime64[D]"), [300, 2**40], [[0.5, 0.5], [0.2, 0.8]]),
    ],
)
@pytest.mark.parametrize("dark", [False, True])
def test_awkward_histories_are_drawn(shares, dark):
    figure = lineage(EVENTS, shares, dark=dark)
    figure.draw_without_rendering()
    assert "over time" in texts(figure)[-1] or any("over time" in t for t in texts(figure))


def test_a_history_without_times_says_so():
    figure = lineage([], ([], [], np.empty((0, 0))))
    assert "no shares were recorded yet" in texts(figure)


def test_dates_are_written_as_dates():
    times = np.datetime64("2026-11-21T00:00:00") + np.arange(48) * np.timedelta64(1, "h")
    at = float(times[10].astype("datetime64[s]").astype(np.int64))
    figure = lineage([event("born", at, 1)], (times, [0, 1], np.full((48, 2), 0.5)))
    figure.draw_without_rendering()
    (marks,) = drawn(figure, "events-born")
    low, high = figure.axes[0].get_xlim()
    assert (marks.get_offsets()[0, 0] - low) / (high - low) == pytest.approx(10 / 47)
    assert any("2026-Nov" in t for t in texts(figure))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_histories_are_drawn_whole(seed):
    rng = np.random.default_rng(seed)
    t, c = int(rng.integers(1, 12)), int(rng.integers(1, 9))
    shares = rng.random((t, c)) * (rng.random((t, c)) > 0.4)
    figure = lineage([], (np.arange(float(t)), np.arange(c), shares))
    bands = {str(b.get_gid()) for b in figure.axes[0].collections}
    assert bands >= {f"cluster-{i}" for i in range(c) if shares[:, i].any()}


# light and dark


@pytest.mark.parametrize("dark", [False, True])
def test_everything_written_can_be_read_on_its_ground(dark):
    ground = DARK if dark else LIGHT
    for figure in (lineage(EVENTS, HISTORY, dark=dark), events_timeline(EVENTS, dark=dark)):
        figure.draw_without_rendering()
        assert figure.get_facecolor() == pytest.approx(_rgba(ground.paper))
        for text in figure.findobj(Text):
            inside = text.get_text().isdigit()  # ids within bands stand on the band's colour
            if text.get_text() and not inside:
                assert contrast(_hex(text.get_color()), ground.paper) > 4.5, text.get_text()


def test_colours_of_bands_are_seen_on_dark_ground():
    assert all(contrast(colour_of(c, DARK), DARK.paper) > 1.8 for c in range(64))


def test_a_cluster_has_the_same_colour_in_every_picture():
    few = lineage([], ([0.0, 1.0], [37], [[1.0], [1.0]]))
    many = lineage([], ([0.0, 1.0], range(50), np.full((2, 50), 0.02)))
    gid = "cluster-37"
    np.testing.assert_array_equal(drawn(few, gid)[0].get_facecolor(), drawn(many, gid)[0].get_facecolor())


# the timeline


def test_each_kind_has_a_row_and_each_event_a_mark():
    events = [event(kind, float(i), i) for i, kind in enumerate(KINDS)] + [event("born", 9.0, 42)]
    figure = events_timeline(events)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        "born  2",
        *(f"{kind}  1" for kind in KINDS[1:]),
    ]
    for kind in KINDS:
        (marks,) = drawn(figure, f"events-{kind}")
        assert len(marks.get_offsets()) == (2 if kind == "born" else 1)
    assert "42" in texts(figure)


def test_kinds_that_did_not_occur_have_no_row():
    figure = events_timeline([event("died", 3.0, 1)])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["died  1"]


def test_many_events_have_no_numbers():
    figure = events_timeline([event("born", float(i), i) for i in range(500)])
    assert "499" not in texts(figure)
    assert len(drawn(figure, "events-born")[0].get_offsets()) == 500


def test_no_events_say_so():
    assert "nothing happened yet" in texts(events_timeline([]))


def test_numbers_of_crowded_marks_are_on_two_levels():
    figure = events_timeline([event("born", 1.0, 1), event("born", 1.0001, 2), event("born", 9.0, 3)])
    levels = {t.get_text(): t.xyann[1] for t in figure.axes[0].texts if t.get_text().isdigit()}
    assert levels["1"] == levels["3"] != levels["2"]


def _rgba(colour):
    from matplotlib.colors import to_rgba

    return to_rgba(colour)


def _hex(colour):
    from matplotlib.colors import to_hex

    return to_hex(colour)
