"""Random functions on four million numbers each: their distributions, by every engine."""

import numpy as np
import pytest

import _draw_statistics as st
from _backends import BACKENDS, Backend

pytestmark = pytest.mark.slow

SIZE = 4_000_000
each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=str)


@each_backend
@pytest.mark.parametrize("law", [*st.CONTINUOUS, *st.LARGE], ids=str)
def test_numbers_have_their_distribution(backend: Backend, law: st.Law) -> None:
    st.assert_continuous(st.sample_law(backend, law, SIZE), law.law)


@each_backend
@pytest.mark.parametrize("law", st.DISCRETE, ids=str)
def test_whole_numbers_have_their_distribution(backend: Backend, law: st.Law) -> None:
    st.assert_discrete(st.sample_law(backend, law, SIZE), law.law)


@each_backend
@pytest.mark.parametrize("law", [*st.CONTINUOUS[:6], *st.DISCRETE], ids=str)
def test_numbers_of_float32_have_their_distribution(backend: Backend, law: st.Law) -> None:
    drawn = st.sample_law(backend, law, SIZE, "float32")
    check = st.assert_continuous if law in st.CONTINUOUS else st.assert_discrete
    check(drawn, law.law)


@each_backend
@pytest.mark.parametrize("law", [law for law in st.CONTINUOUS if law.name == "gamma"], ids=str)
def test_a_faint_fault_is_refused(backend: Backend, law: st.Law) -> None:
    """Numbers of which one in fifty is another element's, a little larger."""
    drawn = st.sample_law(backend, law, SIZE)
    drawn[: SIZE // 50] = np.sort(drawn)[-SIZE // 50 :]
    with pytest.raises(AssertionError, match="a chance of"):
        st.assert_continuous(drawn, law.law)


def test_a_faint_fault_of_whole_numbers_is_refused() -> None:
    for law in st.DISCRETE:
        drawn = st.sample_law(BACKENDS[0], law, SIZE)
        drawn[: SIZE // 200], drawn[-SIZE // 200 :] = law.law.ppf(1e-3), law.law.isf(1e-3)
        with pytest.raises(AssertionError, match="a chance of"):
            st.assert_discrete(drawn, law.law)
