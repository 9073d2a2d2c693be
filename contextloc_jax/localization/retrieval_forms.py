"""Which form of retrieval runs where: config.model.retrieval.

    plain    retrieval.py, everywhere: all segments of a video with all its snippets
    windows  retrieval_windows.py, video by video
    kernel   retrieval_kernel.py: only on NVIDIA GPUs, from the A100 on; refused on other devices
    auto     windows on a CPU, the kernel on GPUs that can run it, else plain

All forms give the same numbers, except for rounding. So the form is not part of a checkpoint's identity: a run that was
trained with one form can be evaluated with any.
"""

from collections.abc import Callable
from functools import partial

import jax

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization.retrieval import Retrieved, retrieve
from contextloc_jax.localization.retrieval_windows import retrieve_by_windows

OLDEST_CAPABILITY = 8.0  # compute capability of the oldest NVIDIA GPUs that can run the kernel

Videos = tuple[jax.Array, jax.Array, jax.Array]  # features [V, T, D], num_snippets [V], segments [V, N, 2]


def plain(*videos: jax.Array, dtype="float32") -> Retrieved:
    """All videos together: one video does not fill an accelerator, and every choice of a window would make it wait."""
    return jax.vmap(partial(retrieve, dtype=dtype))(*videos)


def windows(*videos: jax.Array, dtype="float32") -> Retrieved:
    """One video after the other: its snippets, which are read many times, stay in the processor's cache."""
    return jax.lax.map(lambda video: retrieve_by_windows(*video, dtype), videos)


def kernel(*videos: jax.Array, dtype="float32") -> Retrieved:
    """One GPU program for every segment."""
    from contextloc_jax.localization.retrieval_kernel import retrieve_in_kernel  # importing Pallas takes 0.1 s

    return retrieve_in_kernel(*videos, dtype=dtype)


def auto(*videos: jax.Array, dtype="float32") -> Retrieved:
    """The fastest form of each platform that the program is compiled for."""
    forms = {"cpu": windows} | ({"cuda": kernel} if kernels_compile() else {})
    return jax.lax.platform_dependent(
        *videos,
        default=partial(plain, dtype=dtype),
        **{platform: partial(form, dtype=dtype) for platform, form in forms.items()},
    )


FORMS: dict[str, Callable[..., Retrieved]] = {"auto": auto, "plain": plain, "windows": windows, "kernel": kernel}


def retrieve_videos(videos: Videos, dtype: str, form: str) -> Retrieved:
    """`retrieval.retrieve` of V videos; every array of the result has a first axis V. form: a key of FORMS."""
    return FORMS[form](*videos, dtype=dtype)


def check_form(form: str) -> None:
    """InputError: the devices of this process cannot run the form."""
    if form == "kernel" and not kernels_compile():
        raise InputError(
            "config.model.retrieval is 'kernel', which needs NVIDIA GPUs from the A100 on; set it to 'auto', which "
            "uses the fastest form that the devices can run"
        )


def kernels_compile() -> bool:
    """Whether the devices of this process are NVIDIA GPUs of the generation of the A100 (Ampere) or later."""
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))  # NVIDIA: '9.0'; AMD: 'gfx942'
    return capability[:1].isdigit() and float(capability) >= OLDEST_CAPABILITY
