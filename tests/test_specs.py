"""Specs: what can be written, what is refused and how, and that names make their things again."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from modreg.geometry import specs
from modreg.geometry.inhibitors import DifferenceOfGaussians, Gaussian, Ricker, inhibitor
from modreg.geometry.manifolds import MANIFOLDS, Circle, Euclidean, KleinBottle, Sphere, Torus, manifold, manifolds_of, register_manifold
from modreg.geometry.specs import Registry, split, value, written


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    "Names that a test registers are gone after it"
    monkeypatch.setattr(MANIFOLDS, "makers", dict(MANIFOLDS.makers))


@pytest.mark.parametrize("text, space", [
    ("torus", Torus()), ("torus(period=20)", Torus(2, 20.)), ("torus(2, 20)", Torus(2, 20.)), ("torus( dim = 3 ,period= 1e-3 )", Torus(3, 1e-3)),
    ("torus()", Torus()), (" torus ", Torus()), ("(torus)", Torus()), ("((torus6))", Torus(6)), ("torus6(period=20)", Torus(6, 20.)), ("torus6(20)", Torus(6, 20.)),
    ("sphere(radius=2)", Sphere(2, 2.)), ("s3", Sphere(3)), ("s2", Sphere()), ("s3(radius=2)", Sphere(3, 2.)), ("r3", Euclidean(3)), ("r12(side=.5)", Euclidean(12, .5)),
    ("klein(3)", KleinBottle(3.)), ("circle(radius=+2.)", Circle(2.))])
def test_what_can_be_written(text, space):
    made = manifold(text)
    assert made == space and type(made) is type(space)
    assert manifold(made.name) == space, "its name makes it again"
    assert "." not in made.name or "0.5" in made.name or "0.001" in made.name


@pytest.mark.parametrize("text, f", [("ricker", Ricker()), ("difference_of_gaussians(b=3)", DifferenceOfGaussians(b=3.)), ("gaussian(3, scale=.5)", Gaussian(3., .5))])
def test_inhibitors_too(text, f):
    assert inhibitor(text) == f and inhibitor(f.name) == f


@pytest.mark.parametrize("text, words", [
    ("", "empty text.*circle, sphere, torus"), ("  ", "empty text"), ("()", "empty text"),
    ("donut", "unknown manifold 'donut'; choose one of circle, sphere"), ("spere", "did you mean 'sphere'"), ("Torus", "did you mean 'torus'"),
    ("torus(", "not closed"), ("torus)", "closes nothing"), ("torus(])", "closes nothing"), ("torus('a)", "not closed"), ("torus(2))", "closes nothing"),
    ("torus(perod=2)", "did you mean 'period'.*torus takes dim, period"), ("torus(1, 2, 3)", "too many"), ("torus(period=2, 3)", "no keyword"),
    ("torus(period=2, period=3)", "second time"), ("torus(2, dim=3)", "multiple values"), ("torus(,)", "no value"), ("torus(period=)", "no value"),
    ("torus(dim=2.5)", "dim of torus is '2.5'; give a whole number"), ("torus(dim=true)", "whole number"), ("torus(period=wide)", "period of torus is 'wide'; give a number"),
    ("torus(period='20')", "give a number"), ("torus(period=0)", "give a positive finite number"), ("torus(period=inf)", "positive finite"), ("torus(dim=0)", "from 1 to"),
    ("klein2", "unknown manifold 'klein2'"), ("torus0", "unknown manifold"), ("torus-1", "unknown manifold"), ("r", "unknown manifold 'r'"), ("s0", "unknown"),
    ("torus\n", "unknown manifold"), ("to rus", "unknown manifold"), ("torus(2)(3)", "closes nothing"), ("2 torus", "unknown manifold"), ("__import__('os')", "unknown manifold"),
    ("os.path", "unknown manifold"), ("os:system('ls')", "unknown manifold 'system'"), ("no.such:band", "no module 'no'"), ("torus:torus", "no module 'torus'")])
def test_what_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        manifold(text)


def test_what_is_no_text():
    for wrong, words in ((3, "spec is 3; give a text, or a Manifold"), (None, "spec is None"), (Torus, r"is the class Torus; give a text, or a Manifold, an instance such as Torus\(\)")):
        with pytest.raises(TypeError, match=words):
            manifold(wrong)


def test_nothing_is_evaluated():
    "A text can't reach Python's names, however it is nested"
    for text in ("torus(period=10+10)", "torus(period=(20))", "torus(period=math.pi)", "torus(period=[20])", "torus(period=int('20'))"):
        with pytest.raises(ValueError, match="give a number"):
            manifold(text)


@pytest.mark.parametrize("thing", [0, -3, 1e-300, math.pi, 20., math.inf, True, False, None, "a/b c.ply", "a,b", "it's", "(", "20", "true", "", (1, 2.5, "x"), ()])
def test_values_survive_writing(thing):
    assert value(written(thing)) == thing and type(value(written(thing))) in (type(thing), int if thing == 20 else type(thing))


def test_split_at_depth_zero():
    assert split("a, b(c, d), 'e, f', [g, h]", ",") == ["a", "b(c, d)", "'e, f'", "[g, h]"]
    assert split("", ",") == [""] and split("a,,b", ",") == ["a", "", "b"]


# --- several -----------------------------------------------------------------------------------------------------------

def test_several_spaces():
    assert manifolds_of("torus", 3) == [Torus()] * 3
    assert manifolds_of("torus, klein(period=5)", 2) == manifolds_of(["torus", KleinBottle(5.)], 2) == [Torus(), KleinBottle(5.)]
    assert manifolds_of(Torus(), 2) == [Torus()] * 2
    for wrong in ("torus,sphere", ["torus"] * 4, []):
        with pytest.raises(ValueError, match="one for all, or one for each"):
            manifolds_of(wrong, 3)
    with pytest.raises(ValueError, match="empty text"):
        manifolds_of("torus,", 2)


# --- operators ---------------------------------------------------------------------------------------------------------

class Word:
    def __init__(self, text: str = "?", times: int = 1): self.text, self.times = text, times


@pytest.fixture
def words():
    registry = Registry("word", Word)
    registry.register("word", Word)
    for name in "abc":
        registry.register(name, Word(name))
    def join(symbol): return lambda parts, weights: Word(f"({symbol.join(f'{w}{p.text}' for p, w in zip(parts, weights, strict=True))})")
    registry.operators["+"] = join("+")
    registry.operators["*"] = join("*")
    return registry


@pytest.mark.parametrize("text, read", [
    ("a*b", "(1a*1b)"), ("a + b*c", "(1a+1(1b*1c))"), ("(a+b)*c", "(1(1a+1b)*1c)"), ("a * 2 b", "(1a*2b)"), ("2.5a+3(b*c)", "(2.5a+3(1b*1c))"),
    ("word(x*y)+a", "(1x*y+1a)"), ("word('a+b')", "a+b")])
def test_operators(words, text, read):
    assert words.make(text).text == read


@pytest.mark.parametrize("text, message", [
    ("a*", r"missing beside '\*'"), ("+a", r"missing beside '\+'"), ("a**b", "missing"), ("a*(b", "not closed"), ("a*d", "unknown word 'd'"), ("a*2", "unknown word '2'"),
    ("a(1)", "ready word and takes no arguments")])
def test_wrong_operators(words, text, message):
    with pytest.raises(ValueError, match=message):
        words.make(text)


# --- registration ------------------------------------------------------------------------------------------------------

def test_a_name_of_your_own():
    @dataclass(frozen=True)
    class Rug(Torus):
        period: float = 3.
        fringe: str = "red"
    assert Rug().name.endswith("Rug(dim=2, period=3.0, fringe='red')"), "without a name it is written as Python does"
    register_manifold("rug", Rug)
    assert manifold("rug(fringe=blue)") == Rug(fringe="blue") and manifold("rug3").name == "rug3" and Rug(fringe="a,b").name == "rug(fringe='a,b')"
    assert "rug" in MANIFOLDS and MANIFOLDS["rug"] == Rug()
    with pytest.raises(ValueError, match="'ruk'; did you mean 'rug'"):
        manifold("ruk")
    register_manifold("mat", Rug(period=1.))
    assert manifold("mat") == Rug(period=1.) and Rug(period=1.).name == "mat"
    register_manifold("carpet", lambda size: Rug(period=float(size)))
    assert manifold("carpet(7)") == Rug(period=7.) and "carpet" not in MANIFOLDS


@pytest.mark.parametrize("name, thing, error, words", [
    ("torus", Sphere, ValueError, "'torus' is .* already"), ("r", Torus, ValueError, "'r' is .* already"), ("a b", Torus, ValueError, "letters"), (3, Torus, ValueError, "name is 3; give a text"),
    ("mine", 3, TypeError, "space is 3; give a class, Manifold"), ("mine", str, TypeError, "subclass"), ("mine", Ricker(), TypeError, "register a Manifold"), ("mine", "torus", TypeError, "space is .torus.")])
def test_wrong_registration(name, thing, error, words):
    before = dict(MANIFOLDS.makers)
    with pytest.raises(error, match=words):
        register_manifold(name, thing)
    assert MANIFOLDS.makers == before


def test_a_cell_that_runs_again_registers_its_class_anew():
    def make():
        class Band(Torus):
            pass
        return Band
    old, new = make(), make()
    register_manifold("band", old)
    register_manifold("band", new)
    assert type(manifold("band")) is new


def test_a_module_that_registers_is_named_before_a_colon(tmp_path):
    "As papermill's fresh kernel needs it"
    (tmp_path / "mine.py").write_text("from modreg.geometry.manifolds import Torus, register_manifold\nregister_manifold('band', lambda width=3.0: Torus(2, width))\n")
    code = "from modreg import manifold; print(manifold('mine:band(width=4)').name)"
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": path})
    assert done.stdout.strip() == "torus(period=4)"


def test_registry_is_a_mapping_of_names_that_stand_alone():
    assert list(MANIFOLDS)[:8] == ["circle", "sphere", "torus", "klein", "torus6", "r3", "r9", "s3"] and len(MANIFOLDS) == len(list(MANIFOLDS))
    assert all(specs.Registry.__getitem__(MANIFOLDS, name).name == name for name in MANIFOLDS)
    with pytest.raises(KeyError):
        MANIFOLDS["r"]
