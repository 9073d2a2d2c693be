"""Which form of retrieval runs where: config.model.retrieval.

    plain    retrieval.py, everywhere: all segments of a video with all its snippets
    windows  retrieval_windows.py, video by video
    kernel   retrieval_kernel.py: NVIDIA GPUs from the A100 on; elsewhere it is refused
    auto     windows on a CPU, the kernel on GPUs that have it, else plain

All give the same numbers but for rounding, so the form is no part of a checkpoint's identity: a run that was trained
with one is evaluated with any.
"""

from collections.abc import Callable
from functools import partial

import jax

from contextloc_jax.core.errors import InputError
from contextloc_jax.localization.retrieval import Retrieved, retrieve
from contextloc_jax.localization.retrieval_windows import retrieve_by_windows

OLDEST_CAPABILITY = 8.0  # of an NVIDIA GPU that kernels are compiled for

Videos = tuple[jax.Array, jax.Array, jax.Array]  # features [V, T, D], num_snippets [V], segments [V, N, 2]


def plain(*videos: jax.Array, dtype="float32") -> Retrieved:
    """All videos together: an accelerator is not busy with one, and waits at every choice of a window."""
    return jax.vmap(partial(retrieve, dtype=dtype))(*videos)


def windows(*videos: jax.Array, dtype="float32") -> Retrieved:
    """One video after the other: what is read again and again stays in the processor's cache."""
    return jax.lax.map(lambda video: retrieve_by_windows(*video, dtype), videos)


def kernel(*videos: jax.Array, dtype="float32") -> Retrieved:
    """One GPU program a segment."""
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
    """`retrieval.retrieve` of V videos, every array of the result with a leading V. form: a key of FORMS."""
    return FORMS[form](*videos, dtype=dtype)


def check_form(form: str) -> None:
    """InputError where this process's devices cannot run the form."""
    if form == "kernel" and not kernels_compile():
        raise InputError(
            "config.model.retrieval is 'kernel', which needs NVIDIA GPUs from the A100 on; set it to 'auto', which "
            "takes the fastest form that the devices have"
        )


def kernels_compile() -> bool:
    """Whether this process's devices are NVIDIA GPUs of the generation of the A100 (Ampere) or later."""
    capability = str(getattr(jax.local_devices()[0], "compute_capability", ""))  # '9.0'; of AMD's 'gfx942'
    return capability[:1].isdigit() and float(capability) >= OLDEST_CAPABILITY
