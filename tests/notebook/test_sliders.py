import sys
import types

import matplotlib.pyplot as plt
import pytest

from coursekit import settings
from coursekit.notebook import sliders

CHOICES = {"line": {"slope": (0.0, 2.0, 0.5)}, "power": {"base": (1, 5, 1), "shift": (0, 3, 1)}}


def draw_into(calls: list):
    def draw(choice: str, **values):
        calls.append((choice, values))
        return plt.figure()

    return draw


@pytest.mark.parametrize("parent", [{}, {"content": {}}, {"content": {"allow_stdin": False}}])
def test_a_run_without_a_person_has_no_sliders(monkeypatch, capsys, parent):
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace(get_parent=lambda: parent))
    sliders.show_sliders(draw_into(calls := []), CHOICES)
    assert calls == []
    assert "JupyterLab" in capsys.readouterr().out


def test_a_script_and_a_terminal_have_no_sliders(monkeypatch):
    assert not settings.is_interactive()  # pytest is a script
    monkeypatch.setattr("IPython.get_ipython", lambda: types.SimpleNamespace())
    assert not settings.is_interactive()


def test_a_person_is_who_can_answer_a_prompt(monkeypatch):
    shell = types.SimpleNamespace(get_parent=lambda: {"content": {"allow_stdin": True}})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    assert settings.is_interactive()


def test_without_ipywidgets_one_line_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(settings, "is_interactive", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    sliders.show_sliders(draw_into(calls := []), CHOICES)
    assert calls == []
    assert "pip install ipywidgets" in capsys.readouterr().out


def test_the_menu_changes_the_sliders_and_each_move_draws(monkeypatch):
    pytest.importorskip("ipywidgets")
    drawn, shown = [], []
    monkeypatch.setattr(settings, "is_interactive", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *items: shown.extend(items))
    sliders.show_sliders(draw_into(drawn), CHOICES)
    menu, panel = shown[-1].children
    assert menu.options == ("line", "power")
    [slider] = [part for part in panel.children[0].children if hasattr(part, "max")]
    assert (slider.description, slider.min, slider.max, slider.step) == ("slope", 0.0, 2.0, 0.5)
    slider.value = 1.5
    panel.children[0].update()
    assert drawn[-1] == ("line", {"slope": 1.5})
    menu.value = "power"
    assert [part.description for part in panel.children[0].children if hasattr(part, "max")] == ["base", "shift"]
    panel.children[0].update()
    assert drawn[-1][0] == "power"
    assert set(drawn[-1][1]) == {"base", "shift"}
    assert plt.get_fignums() == []
