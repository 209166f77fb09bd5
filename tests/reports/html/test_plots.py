"""The plots: marks are where their numbers say, limits are where they lie, and nothing unknown is drawn."""

from __future__ import annotations

import math

import pytest
from full_report import Json, diagnosis, full_report, gate, limit, reading, timing
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.grammar.limits import bind_limit, parse_limit
from pytest_modelbench.reports.html.axes import Axis, even_axis, log_axis, margin_axis, tick_texts
from pytest_modelbench.reports.html.breakdowns import breakdown_figures, breakdown_table
from pytest_modelbench.reports.html.calibration import reliability
from pytest_modelbench.reports.html.confusion_plot import confusion_figure
from pytest_modelbench.reports.html.drop_plot import drop_figure
from pytest_modelbench.reports.html.fields import distinct
from pytest_modelbench.reports.html.figures import SHAPES, Area, Curve, Figure, Label, Line, Mark, series_of
from pytest_modelbench.reports.html.limit_lines import in_kpi_terms, limit_line
from pytest_modelbench.reports.html.margins import margins
from pytest_modelbench.reports.html.pareto import tradeoff_figures
from pytest_modelbench.reports.html.row_plot import MOST_ROWS
from pytest_modelbench.reports.html.speed_plots import distribution, round_ratios
from pytest_modelbench.reports.html.students import student_parts
from pytest_modelbench.reports.html.sweep_plot import sweep_figure
from pytest_modelbench.reports.html.waterfall_plot import waterfall_figure

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-9)
POSITIVE = st.floats(1e-9, 1e12)


def marks(figure: Figure) -> list[Mark]:
    return [shape for shape in figure.shapes if isinstance(shape, Mark)]


def texts(figure: Figure) -> list[str]:
    return [shape.text for shape in figure.shapes if isinstance(shape, Label)]


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_even_axes_hold_their_values(values: list[float]) -> None:
    """In order, with a few rising labels, each of them on the axis."""
    _is_sound(even_axis(values, 10, 200), values)


@given(st.lists(POSITIVE, min_size=1, max_size=5))
def test_logarithmic_axes_hold_their_values(values: list[float]) -> None:
    """Also one value alone, and twenty decades."""
    _is_sound(log_axis(values, 10, 200), values)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=5))
def test_axes_of_margins_hold_their_values(values: list[float]) -> None:
    """And 0 always."""
    axis = margin_axis(values, 10, 200)
    _is_sound(axis, [*values, 0.0])
    assert 0.0 in axis.ticks


def _is_sound(axis: Axis, values: list[float]) -> None:
    places = [axis.at(value) for value in sorted(values)]
    assert all(axis.holds(value) for value in values)
    assert places == sorted(places)
    assert all(9.9 <= place <= 200.1 for place in places)
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert 1 <= len(axis.ticks) <= 9
    assert len(tick_texts(axis.ticks, "ms")) == len(axis.ticks)


def test_a_logarithmic_axis_by_hand() -> None:
    """Ten times is the same length everywhere."""
    axis = log_axis([1.0, 1000.0], 0, 300)
    assert axis.at(100) - axis.at(10) == pytest.approx(axis.at(10) - axis.at(1))


KINDS = [
    ("<= {}%", "%", "%"),
    ("drop <= {} pp", "%", "pp"),
    ("difference >= {} pp", "%", "pp"),
    ("reduction >= {}%", "", "fraction"),
    ("increase <= {}%", "", "fraction"),
    ("ratio <= {}", "", "x"),
    ("speedup >= {}x", "ms", "x"),
    ("drop <= {}%", "", "fraction"),
]
"""Limits, the unit of their KPI, and that of what they judge."""


@given(
    kind=st.sampled_from(KINDS),
    amount=st.floats(0.5, 40).map(lambda value: round(value, 3)),
    teacher=st.floats(1, 100),
    student=st.floats(1, 100),
)
def test_limits_are_where_the_grammar_has_them(
    kind: tuple[str, str, str], amount: float, teacher: float, student: float
) -> None:
    """The threshold follows from value and margin; in the KPI's terms a value holds just where the limit does."""
    form, unit, judged_unit = kind
    text = form.format(amount)
    bound = bind_limit(parse_limit(text), kpi="k", unit=unit, better="higher", bounds=(-math.inf, math.inf))

    def judged(value: float) -> float:
        return {
            "value": value,
            "drop_points": teacher - value,
            "drop_relative": (teacher - value) / teacher,
            "difference": value - teacher,
            "reduction": (teacher - value) / teacher,
            "increase": (value - teacher) / teacher,
            "ratio": value / teacher,
            "speedup": teacher / value,
        }[bound.measure]

    value = judged(student)
    made = limit(text, "pass", value, judged_unit)
    made["margin"] = bound.margin(value)
    line = limit_line(made)
    assert line is not None
    assert line.threshold == pytest.approx(bound.threshold, rel=1e-6)
    assert line.upper == bound.is_upper
    readings = {"student": reading(student, unit), "teacher": reading(teacher, unit)}
    of_kpi = in_kpi_terms(made, gate("k", made, unit=unit, readings=readings))
    if of_kpi is None:  # the student's value would have to be 0
        return
    for near in (of_kpi.threshold * 0.99, of_kpi.threshold * 1.01):
        if near > 0:
            assert bound.holds(judged(near)) == ((near <= of_kpi.threshold) == of_kpi.upper)


@pytest.mark.parametrize(
    ("text", "value", "margin"),
    [("== 0", 0.0, 0.0), ("<= 0 pp", 1.0, -1.0), ("includes onnx", 1.0, 0.0), ("<= 5%", None, None),
     ("drop <= 3 pp if parameters reduction >= 75%, else >= 1%", 1.0, 2.0)],
)  # fmt: skip
def test_limits_without_a_distance(text: str, value: float | None, margin: float | None) -> None:
    """Those on equality, at 0, on a set, without a value, or with two directions are not drawn."""
    assert limit_line({**limit(text, "pass", value, ""), "margin": margin}) is None


def test_a_conditional_limit_is_drawn() -> None:
    """Both of its limits point to one side."""
    line = limit_line(
        {**limit("drop <= 3 pp if parameters reduction >= 75%, else drop <= 1 pp", "pass", 1.0, "pp"), "margin": 2.0}
    )
    assert line is not None
    assert (line.threshold, line.upper) == (3.0, True)
    assert line.distance(4.5) == pytest.approx(-0.5)


def test_margins() -> None:
    """What failed is left of the line, what holds is right of it; intervals have the right ends; each limit once."""
    gates = [*full_report("small")["gates"]] * 2
    figure = margins(gates)
    assert figure is not None
    (line,) = [shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "limit"]
    drawn = marks(figure)
    assert len(drawn) == 6
    by_title = {mark.title.split(":")[0]: mark for mark in drawn}
    assert by_title["top1_accuracy  drop <= 2 pp"].x < line.x1 < by_title["top1_accuracy  >= 90%"].x
    assert by_title["top1_accuracy  drop <= 2 pp"].look == "bad"
    assert by_title["latency_p99  <= 0.3 ms"].look == "open"
    (interval,) = [
        shape for shape in figure.shapes
        if isinstance(shape, Line) and shape.look == "interval open" and shape.y1 == shape.y2
    ]  # fmt: skip
    assert interval.x1 != interval.x2
    assert min(interval.x1, interval.x2) < line.x1 < max(interval.x1, interval.x2)
    assert [row[2] for row in figure.table.rows][:2] == ["FAIL", "INCONCLUSIVE"]
    assert "FAIL 4 pp" in texts(figure)
    assert figure.note == "In the table of limits only: 1 limit at 0, on a set, on equality or without a value."


@pytest.mark.parametrize(("text", "verdict"), [("<= 10", "left"), (">= 2", "right")])
def test_an_open_interval(text: str, verdict: str) -> None:
    """A value without an upper end may be as bad as can be where the limit is from above, and as good otherwise."""
    half_open = {**limit(text, "pass", 5.0, "", threshold=float(text[3:])), "ci_low": 4.0, "ci_high": None}
    figure = margins([gate("k", half_open)])
    assert figure is not None
    (mark,) = marks(figure)
    (interval,) = [
        shape
        for shape in figure.shapes
        if isinstance(shape, Line) and shape.look == "interval good" and shape.y1 == shape.y2
    ]
    least, most = sorted((interval.x1, interval.x2))
    assert (mark.x - least > 5 * (most - mark.x)) == (verdict == "left")


def test_many_limits() -> None:
    """The nearest ones are drawn, and the note counts the others."""
    many = [gate(f"k{at}", limit("<= 10", "pass", 5.0 + at / 20, "", threshold=10.0)) for at in range(60)]
    figure = margins(many)
    assert figure is not None
    assert len(marks(figure)) == MOST_ROWS
    assert marks(figure)[0].title.startswith("k59")
    assert figure.note == "In the table only, with more room: 30."
    assert margins([gate("k")]) is None


def test_distribution() -> None:
    """Both curves rise, the student's is left; the limits are where the grammar puts them."""
    figure = distribution(timing("small"), full_report("small")["gates"])
    assert figure is not None
    teacher, student = [shape for shape in figure.shapes if isinstance(shape, Curve)]
    for curve in (teacher, student):
        assert [x for x, _ in curve.points] == sorted(x for x, _ in curve.points)
        assert [y for _, y in curve.points] == sorted((y for _, y in curve.points), reverse=True)
    assert all(s[0] < t[0] for s, t in zip(student.points, teacher.points, strict=True))
    lines = sorted(
        {
            shape.x1
            for shape in figure.shapes
            if isinstance(shape, Line) and shape.look == "limit" and shape.x1 == shape.x2
        }
    )
    axis = log_axis([0.09, 0.9, 0.2, 0.3], teacher.points[0][0], teacher.points[-1][0])
    assert len(lines) == 2  # 0.4 ms / 2, and 0.3 ms
    assert student.points[0][0] < lines[0] < lines[1] < teacher.points[0][0]
    assert axis.at(0.2) < axis.at(0.3)
    assert figure.note == "The limit p99 <= 5 s is outside of the plot, at 5 s."
    assert ("p50", "561 µs", "164 µs") in figure.table.rows


def test_distribution_of_another_setup() -> None:
    """Limits on calls of other batch sizes are not drawn into it."""
    figure = distribution({**timing("small"), "batch_size": 64}, full_report("small")["gates"])
    assert figure is not None
    assert not [shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "limit"]


def test_rounds() -> None:
    """A point a round, the interval as a band around the line of the centre."""
    figure = round_ratios(timing("small"))
    assert figure is not None
    points = marks(figure)
    assert sorted(range(6), key=lambda at: -points[at].y) == [2, 0, 4, 5, 1, 3]
    (band,) = [shape for shape in figure.shapes if isinstance(shape, Area)]
    (centre,) = [shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "limit"]
    assert band.y < centre.y1 < band.y + band.height
    assert centre.y1 == pytest.approx(points[0].y)
    assert (
        "6 points in the order of time, from 0.24x to 0.27x. Their centre is 0.25x, interval [0.24, 0.26]x"
        in figure.summary
    )


def test_the_interval_closes_look_by_look() -> None:
    """A bar at the last round of each look, narrower each time; an end that is off the plot has no cap."""
    of = timing("small")
    figure = round_ratios(of)
    assert figure is not None
    bars = [shape for shape in figure.shapes if isinstance(shape, Line) and "interval" in shape.look]
    upright = [bar for bar in bars if bar.x1 == bar.x2]
    points = [mark for mark in marks(figure) if mark.look == "s0"]
    assert [bar.x1 for bar in upright] == [points[2].x, points[5].x]
    first, last = (abs(bar.y2 - bar.y1) for bar in upright)
    assert first > 4 * last
    assert len(bars) - len(upright) == 4
    assert "2 looks: from a width of 0.1x to one of 0.02x" in figure.summary
    assert figure.table.rows[0] == ("look after 3", "0.25x", "[0.2, 0.3]x")
    of["look_ratios"][0] |= {"ci_low": 0.001, "ci_high": 60.0}
    wide = round_ratios(of)
    assert wide is not None
    assert sum(isinstance(shape, Line) and shape.look == "interval ink" for shape in wide.shapes) == 2 + 2
    of["look_ratios"][0] |= {"ci_low": None}
    one = round_ratios(of)
    assert one is not None
    assert sum(isinstance(shape, Line) and shape.look == "interval ink" for shape in one.shapes) == 3


def test_rounds_are_counted_in_whole_numbers() -> None:
    """Also where there are three."""
    figure = round_ratios({**timing("small"), "round_ratios": [0.2, 0.3, 0.25]})
    assert figure is not None
    assert [text for text in texts(figure) if "x" not in text and "." not in text and text.isdigit()] == [
        "1",
        "2",
        "3",
    ]


def test_sweep() -> None:
    """A point for each batch size and model; the best one and why there are no larger ones are said."""
    figure = sweep_figure(timing("small"))
    assert figure is not None
    student = [mark for mark in marks(figure) if mark.look == "s0"]
    teacher = [mark for mark in marks(figure) if mark.look == "teacher"]
    assert [mark.x for mark in student] == [mark.x for mark in teacher] == sorted(mark.x for mark in student)
    assert all(mine.y < theirs.y for mine, theirs in zip(student, teacher, strict=True))
    assert student[1].x - student[0].x == pytest.approx(student[2].x - student[1].x)
    assert "The student is fastest at batch size 4 with 7,200/s (4 is the largest)." in figure.summary
    assert figure.table.rows == [
        ("1", "1,500/s", "4,500/s"),
        ("2", "2,000/s", "6,000/s"),
        ("4", "2,400/s", "7,200/s"),
    ]


@pytest.mark.parametrize(
    "sweep", [{}, None, {"student": {"curve": [{"batch_size": 1, "samples_per_s": 2.0}]}}, {"student": 3}]
)
def test_without_a_sweep(sweep: object) -> None:
    """One batch size is no curve."""
    assert sweep_figure({**timing("small"), "sweep": sweep}) is None


def test_newly_wrong() -> None:
    """A line for each pair of labels as long as its count, with ids; older reports have none."""
    (accuracy,) = [gate for gate in full_report("small")["gates"] if gate["kpi"] == "top1_accuracy"]
    figure = confusion_figure(accuracy)
    assert figure is not None
    (zero,) = [shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "limit"]
    lengths = [mark.x - zero.x1 for mark in marks(figure)]
    assert lengths[0] == pytest.approx(5 * lengths[1])
    assert {"cat as dog", "5: a, b, c and 2 more", "1: d"} <= set(texts(figure))
    assert "Samples drawn: 6. Most often, class cat is taken for dog: 5." in figure.summary
    assert figure.table.rows[0] == ("cat", "dog", "5", "a, b, c and 2 more")
    assert confusion_figure({**accuracy, "breakdown": []}) is None


def test_what_classes_lost() -> None:
    """Teacher and student in one row; the interval of the drop lies around the student, and not beyond 100%."""
    (drop,) = [gate for gate in full_report("small")["gates"] if gate["kpi"] == "class_drop"]
    figure = drop_figure(drop)
    assert figure is not None
    teacher, student, *_ = marks(figure)
    assert (teacher.look, student.look) == ("teacher", "s0")
    assert teacher.x > student.x
    first, *_ = [shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "interval s0"]
    assert first.x1 < student.x < first.x2
    per_point = (teacher.x - student.x) / 4
    assert (first.x2 - first.x1) / per_point == pytest.approx(10)
    assert figure.table.rows[0] == ["cat", "30", "96%", "92%", "4 pp", "[-1, 9] pp"]
    drop["breakdown"][0]["ci_low"] = -50.0
    assert drop_figure(drop) is not None
    del drop["breakdown"][0]["teacher"]
    assert drop_figure(drop) is None
    assert breakdown_figures(drop)[0].title == "What each class has lost (class_drop)"


def test_names_do_not_cover_each_other() -> None:
    """A student whose name has no room is in the legend only."""
    report = full_report(*(f"student number {place}" for place in range(5)))
    for row in report["tradeoff"]["students"]:
        row["values"][0]["student"], row["values"][1]["student"] = 94.0, 0.1
    (figure,) = tradeoff_figures(report)
    names = [shape for shape in figure.shapes if isinstance(shape, Label) and shape.text.startswith("student number")]
    places = {(name.x, name.y, name.anchor) for name in names}
    assert 1 <= len(names) == len(places) < 5
    assert len(figure.legend) == 5 + 1


def test_sizes_that_differ_much_are_on_a_logarithmic_axis() -> None:
    """And the name of the axis says so; shares never are."""
    report = full_report()
    axis = report["tradeoff"]["axes"][0]
    axis |= {"name": "size", "kpi": "parameters", "unit": "", "better": "lower"}
    for row, value in zip(report["tradeoff"]["students"], (1e3, 1e5), strict=True):
        row["values"][0] |= {"student": value, "teacher": 1e7}
    labels = [set(texts(figure)) for figure in tradeoff_figures(report)]
    assert any("parameters, logarithmic" in shown for shown in labels)
    assert not any("top1_accuracy, logarithmic" in shown for shown in labels)


def test_the_front_of_what_is_drawn_from_the_gates() -> None:
    """Where the report has no trade-off with quality and latency, the Pareto-optimal students are found here."""
    report = full_report()
    report["tradeoff"] = None
    for judged in report["gates"]:
        if judged["student"] == "tiny" and judged["kpi"] in {"top1_accuracy", "latency_p50"}:
            worse = {"top1_accuracy": 90.0, "latency_p50": 0.3}[judged["kpi"]]
            judged["readings"]["student"] = reading(worse, judged["unit"], half=0.01)
    (figure,) = tradeoff_figures(report)
    assert "no other one is better in everything: small." in figure.summary
    assert [row[-1] for row in figure.table.rows] == ["yes", "no"]


def test_reliability() -> None:
    """Points under the diagonal where confidence is above accuracy; larger for more samples; empty bins are not drawn."""
    (ece,) = [gate for gate in full_report("small")["gates"] if gate["kpi"] == "ece"]
    figure = reliability(ece)
    assert figure is not None
    assert len(marks(figure)) == 4
    small, large = sorted(mark.size for mark in marks(figure))[::3]
    assert large == 7.0
    assert small < large
    (diagonal,) = [shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "limit"]
    slope = (diagonal.y2 - diagonal.y1) / (diagonal.x2 - diagonal.x1)
    assert all(mark.y > diagonal.y1 + slope * (mark.x - diagonal.x1) for mark in marks(figure))


@pytest.mark.parametrize(
    ("kpi", "count", "rows"),
    [
        ("class_drop", 1, 2),
        ("equalized_odds_drift", 2, 4),
        ("headroom", 1, 2),
        ("energy_per_1k", 1, 2),
        ("export", 0, 0),
    ],
)
def test_breakdowns(kpi: str, count: int, rows: int) -> None:
    """One plot for each rate, a mark for each value; what has no plot has a table."""
    (of_kpi,) = [gate for gate in full_report("small")["gates"] if gate["kpi"] == kpi]
    figures = breakdown_figures(of_kpi)
    assert len(figures) == count
    for figure in figures:
        assert len(marks(figure)) == rows
    table = breakdown_table(of_kpi)
    assert table is not None
    assert table.rows


def test_rates_by_class() -> None:
    """A rate that is an object has a row for each class."""
    of = {"tpr": {"cat": 0.5, "dog": 0.25}}
    (figure,) = breakdown_figures(
        gate("equal_opportunity_drift", breakdown=[{"name": "old", "n": 5, "student": of, "teacher": of}])
    )
    assert [row[0] for row in figure.table.rows] == ["old, class cat", "old, class dog"]
    assert figure.table.rows[1] == ["old, class dog", "5", "25%", "25%"]


def test_tradeoff() -> None:
    """Faster is left, better is up; the corner holds the student that keeps both limits; Pareto students are joined."""
    report = full_report("small", "tiny", "bad")
    report["gates"].append(gate("latency_p50", limit("<= 5 s", "pass", 0.1, "ms", threshold=5000.0), unit="ms"))
    for row, pareto in zip(report["tradeoff"]["students"], (True, True, False), strict=True):
        row["pareto"] = pareto
    (figure,) = tradeoff_figures(report)
    by_name = {mark.title.split(":")[0]: mark for mark in marks(figure)}
    assert by_name["tiny"].x < by_name["small"].x < by_name["teacher"].x
    assert by_name["tiny"].y > by_name["small"].y > by_name["teacher"].y
    (corner,) = [shape for shape in figure.shapes if isinstance(shape, Area)]
    assert corner.x < by_name["small"].x < corner.x + corner.width < by_name["teacher"].x
    assert by_name["teacher"].y < corner.y + corner.height < by_name["small"].y  # 98 - 2 pp, and the student has 94
    (front,) = [shape for shape in figure.shapes if isinstance(shape, Curve)]
    assert len(front.points) == 2
    assert len({mark.look for mark in marks(figure)}) == len({mark.shape for mark in marks(figure)}) == 4


def test_one_student_against_the_teacher() -> None:
    """Without a trade-off in the report the plot is made of the gates, and nothing is called Pareto-optimal."""
    report = full_report("small")
    (figure,) = tradeoff_figures(report)
    assert {mark.title.split(":")[0] for mark in marks(figure)} == {"small", "teacher"}
    assert "Pareto" not in figure.summary
    assert figure.table.columns == ("Student", "top1_accuracy", "latency_p50")
    report["gates"] = [gate for gate in report["gates"] if gate["kpi"] != "latency_p50"]
    (figure,) = tradeoff_figures(report)
    assert "latency_p99" in figure.title
    assert {mark.title.split(":")[0] for mark in marks(figure)} == {"small"}


def test_students_look_the_same_everywhere() -> None:
    """A student has one shape and colour on a page; six in a row differ in both."""
    series = series_of([*"abcabcdef"])
    assert len({shape for shape, _ in series.values()}) == len({look for _, look in series.values()}) == 6
    assert {shape for shape, _ in series.values()} <= set(SHAPES)


def test_waterfall() -> None:
    """Each bar starts where the one before ended; the first is the teacher's, the last the student's."""
    figure = waterfall_figure(diagnosis("small"))
    assert figure is not None
    teacher, first, second, third, student = [shape for shape in figure.shapes if isinstance(shape, Area)]
    assert teacher.x + teacher.width == pytest.approx(first.x + first.width)
    assert first.x == pytest.approx(second.x + second.width)
    assert second.x == pytest.approx(third.x)
    assert third.x + third.width == pytest.approx(student.x + student.width)
    assert [bar.look for bar in (teacher, first, second, third, student)] == [
        "total",
        "faster",
        "faster",
        "slower",
        "total",
    ]
    assert "+50 µs" in texts(figure)
    assert len([shape for shape in figure.shapes if isinstance(shape, Line) and shape.look == "interval ink"]) == 3


def test_a_long_waterfall_is_cut() -> None:
    """The smallest steps are one bar, so that the sum holds."""
    of = diagnosis("small")
    steps: list[Json] = of["waterfall"]["changes"] * 10
    figure = waterfall_figure({**of, "waterfall": {**of["waterfall"], "changes": steps}})
    assert figure is not None
    assert texts(figure)[texts(figure).index("16 other steps") + 1] == "-1.45 ms"
    assert len(figure.table.rows) == 30
    assert waterfall_figure({**of, "waterfall": None}) is None


def test_one_gate_of_each_question() -> None:
    """Several tests may ask the same; the one that has a value is drawn, and each batch size is another question."""
    without = gate("k", readings={"student": None})
    gates = distinct([without, gate("k"), gate("k", options={"batch_size": 64}), gate("k", student="other")])
    assert [of["readings"]["student"] is not None for of in gates] == [True, True, True]


def test_the_longest_measurement_of_a_setup_is_drawn() -> None:
    """Where one student was timed twice the same way, with other settings."""
    report = full_report("small")
    short, long = ({**timing("small"), "rounds": rounds, "round_ratios": [0.5] * rounds} for rounds in (3, 9))
    for timings in ([short, long], [long, short]):
        (part,), _ = student_parts({**report, "timings": timings})
        (figure,) = [figure for figure in part.figures if figure.kind == "rounds"]
        assert len(figure.table.rows) == 2 + 9
