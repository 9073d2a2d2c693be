"""Checkpoints of the authors' PyTorch code (ContextLoc, P-GCN) to and from this project's parameter tree.

All arrays are NumPy arrays: jax is not needed, and torch is needed only to read or write a file. Names and layouts of
the authors' tensors: tests/golden/README.md, `weights.npz` (ContextLoc) and `pgcn.npz` (P-GCN).
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.files import make_folder, write_whole

TORCH_REQUIREMENT = "torch==2.13.0"
PARALLEL_PREFIX = "module."  # what torch's DataParallel puts before every name

StateDict = dict[str, np.ndarray]
Tree = Mapping[str, Any]  # nested by name

# Our variable -> the authors' tensor. Only the heads differ in layout: torch's Linear is [out, in], ours [in, out].
AUTHORS_NAMES = {
    "params/activity_head/kernel": "activity_fc.weight",
    "params/activity_head/bias": "activity_fc.bias",
    "params/completeness_head/kernel": "completeness_fc.weight",
    "params/completeness_head/bias": "completeness_fc.bias",
    "params/regression_head/kernel": "regressor_fc.weight",
    "params/regression_head/bias": "regressor_fc.bias",
    "params/activity_graph/first/kernel": "Act_GCN.gc1.weight",
    "params/activity_graph/first/bias": "Act_GCN.gc1.bias",
    "params/activity_graph/second/kernel": "Act_GCN.gc2.weight",
    "params/activity_graph/second/bias": "Act_GCN.gc2.bias",
    "params/completeness_graph/first/kernel": "Comp_GCN.gc1.weight",
    "params/completeness_graph/first/bias": "Comp_GCN.gc1.bias",
    "params/completeness_graph/second/kernel": "Comp_GCN.gc2.weight",
    "params/completeness_graph/second/bias": "Comp_GCN.gc2.bias",
    "params/l_net/query": "LGNet.weight",
    "params/l_net/context": "LGNet.weight1",
    "params/l_net/bias": "LGNet.bias",
    "params/g_net/query": "LGNet_G.weight",
    "params/g_net/context": "LGNet_G.weight1",
    "params/g_net/bias": "LGNet_G.bias",
    "params/activity_norm/scale": "BN_A.weight",
    "params/activity_norm/bias": "BN_A.bias",
    "batch_stats/activity_norm/mean": "BN_A.running_mean",
    "batch_stats/activity_norm/var": "BN_A.running_var",
    "batches_tracked/activity_norm": "BN_A.num_batches_tracked",
    "params/completeness_norm/scale": "BN_C.weight",
    "params/completeness_norm/bias": "BN_C.bias",
    "batch_stats/completeness_norm/mean": "BN_C.running_mean",
    "batch_stats/completeness_norm/var": "BN_C.running_var",
    "batches_tracked/completeness_norm": "BN_C.num_batches_tracked",
}


def read_torch_checkpoint(path: str | Path) -> tuple[StateDict, np.ndarray | None]:
    """Tensors and regression statistics of a .pth or .pth.tar file (torch's zip or its legacy format).

    Returns: as `unpack_checkpoint`. Loading runs no code from the file: it accepts only tensors, plain containers,
    NumPy arrays and numbers. InputError: torch is not installed, or the file cannot be read or holds something else.
    """
    torch = _import_torch(f"reading {path}")
    try:
        file = io.BytesIO(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            contents = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise many types on files that are not theirs
        refused = re.search(r"GLOBAL (\S+)", str(error))
        raise InputError(
            f"{path}: not a complete torch file that holds only tensors, arrays and numbers"
            f"{f' (it refers to {refused[1]})' if refused else ''}; "
            f"save {{'state_dict': ..., 'reg_stats': ...}} with torch.save again"
        ) from error
    return unpack_checkpoint(contents, path)


def unpack_checkpoint(contents: Any, source: str | Path) -> tuple[StateDict, np.ndarray | None]:
    """Tensors under the authors' names, and reg_stats, from the contents of a loaded file.

    Args:
      contents: a state_dict, or a mapping with 'state_dict' and maybe 'reg_stats', as the training scripts save it
        (their 'epoch', 'arch', ... are ignored); values are torch tensors or NumPy arrays.
      source: the name of the file in errors (InputError: contents of another form, a value that is not finite).

    Returns:
      NumPy arrays by name, without `module.` prefixes; half precision becomes float32.
      float64 [2, 2] mean and standard deviation (rows) of (center shift, log size); None if the file has none.
    """
    if not isinstance(contents, Mapping) or not contents:
        raise InputError(f"{source}: found {_kind(contents)}, expected a state_dict or a mapping with 'state_dict'")
    nested = "state_dict" in contents
    tensors = contents["state_dict"] if nested else contents
    if not isinstance(tensors, Mapping) or not tensors:
        raise InputError(f"{source}: its 'state_dict' is {_kind(tensors)}, expected a mapping of names to tensors")
    state_dict = {str(name): _array(value, f"{source}: {name}") for name, value in tensors.items()}
    while all(name.startswith(PARALLEL_PREFIX) for name in state_dict):
        state_dict = {name.removeprefix(PARALLEL_PREFIX): array for name, array in state_dict.items()}
    stats = contents.get("reg_stats") if nested else None
    return state_dict, None if stats is None else _regression_stats(stats, source)


def model_sizes(state_dict: StateDict, source: str | Path = "the state_dict") -> dict[str, int | bool | str]:
    """The sizes and parts of the model that the tensors belong to, under the names of config.model.

    Always: feature_width (D), num_classes, local_context, global_context, batch_norm, boundary_segments, proposal_net.
    With a P-GCN: graph_width. With L-Net or G-Net: context_width. With G-Net: adaptation.
    InputError: the heads are missing, so this is neither ContextLoc nor P-GCN.
    """
    shapes = {name: array.shape for name, array in state_dict.items() if array.ndim == 2}
    missing = [name for name in ("activity_fc.weight", "completeness_fc.weight") if name not in shapes]
    if missing:
        raise InputError(
            f"{source}: no matrix {' and '.join(missing)}, expected the names of ContextLoc or P-GCN "
            f"(found {', '.join(list(state_dict)[:3])}, ...)"
        )
    activity_width = shapes["activity_fc.weight"][1] // 2  # a head reads the P-Net's output and its input
    num_classes, completeness_width = shapes["completeness_fc.weight"][0], shapes["completeness_fc.weight"][1] // 2
    sizes = {
        "feature_width": activity_width,
        "num_classes": num_classes,
        "local_context": "LGNet.weight1" in shapes,
        "global_context": "LGNet_G.weight" in shapes,
        "batch_norm": "BN_A.weight" in state_dict,
        "boundary_segments": completeness_width == 3 * activity_width,
        "proposal_net": "pgcn" if "Act_GCN.gc1.weight" in shapes else "none",
    }
    if "LGNet.weight" in shapes:
        sizes["feature_width"], sizes["context_width"] = shapes["LGNet.weight"]
    if sizes["global_context"]:
        sizes["adaptation"] = "LGNet_G.weight1" in shapes
    if sizes["proposal_net"] == "pgcn":
        sizes["graph_width"] = shapes["Act_GCN.gc1.weight"][1]
    return sizes


def to_variables(state_dict: StateDict, expected: Tree, source: str | Path = "the state_dict") -> dict[str, Any]:
    """Our variables with the values of the authors' tensors, float32.

    Args:
      state_dict: arrays under the authors' names (`read_torch_checkpoint`).
      expected: the model's {'params': ..., 'batch_stats': ...}; leaves are shapes or anything with a `shape`.
      source: the name of the file in errors.

    Returns:
      The tree of `expected` with arrays. If the model has BatchNorm, also the collection 'batches_tracked' (int64 []
      for each norm, 0 if the file has none): no computation uses it; it makes an export exact.
      InputError: tensors are missing, unknown or of another shape; the message names all of them, with both shapes.
    """
    counts = {f"batches_tracked/{norm}": () for norm in expected.get("batch_stats", {})}
    ours = dict(_flat(expected)) | counts
    _check_names(ours, source)
    model = {AUTHORS_NAMES[path]: tuple(getattr(leaf, "shape", leaf)) for path, leaf in ours.items()}
    model = {name: shape[::-1] if _is_transposed(name) else shape for name, shape in model.items()}
    found = {AUTHORS_NAMES[path]: np.zeros((), np.int64) for path in counts} | state_dict
    file = {name: array.shape for name, array in found.items()}
    differing = [name for name in model | file if file.get(name) != model.get(name)]
    if differing:
        listed = "; ".join(f"{name} {file.get(name, 'absent')} vs {model.get(name, 'absent')}" for name in differing)
        raise InputError(
            f"{source}: {len(differing)} tensors do not fit the model (shape in the file vs the model): {listed}; "
            f"set config.model and data.num_classes to what the file was trained with"
        )
    return _nested({path: _convert(AUTHORS_NAMES[path], found[AUTHORS_NAMES[path]]) for path in ours})


def from_variables(variables: Tree) -> StateDict:
    """The authors' tensors (names and layouts) with the values of our variables: the exact inverse of `to_variables`.

    Without the collection 'batches_tracked' (a model trained here), num_batches_tracked is 0.
    InputError: the authors' code has no tensor for a variable (the non-local P-Net).
    """
    counts = {f"batches_tracked/{norm}": 0 for norm in variables.get("batch_stats", {})}
    ours = counts | dict(_flat(variables))
    _check_names(ours, "the checkpoint")
    return {theirs: _convert(theirs, ours[path]) for path, theirs in AUTHORS_NAMES.items() if path in ours}


def write_torch_checkpoint(path: str | Path, variables: Tree, regression_stats: np.ndarray | None) -> None:
    """Writes {'state_dict', 'reg_stats'} in torch's zip format, whole or not at all.

    Args:
      path: of the file; missing folders are made.
      variables: as for `from_variables`; the names get no prefix `module.`.
      regression_stats: [2, 2] mean and standard deviation (rows); None is written as None.

    InputError: torch is not installed, the file cannot be written, or the authors' code lacks a variable.
    """
    torch = _import_torch(f"writing {path}")
    stats = regression_stats
    if stats is not None:
        stats = torch.from_numpy(_regression_stats(stats, "the checkpoint"))
    state_dict = {name: torch.from_numpy(array) for name, array in from_variables(variables).items()}
    buffer = io.BytesIO()
    torch.save({"state_dict": state_dict, "reg_stats": stats}, buffer)
    make_folder(Path(path).parent, "--torch_checkpoint")
    write_whole(path, buffer.getbuffer())


def _import_torch(purpose: str):
    try:
        import torch
    except ImportError as error:
        raise InputError(f"{purpose} needs torch ({error}): pip install {TORCH_REQUIREMENT}") from error
    return torch


def _numpy_globals() -> list:
    """All that a pickled NumPy array (reg_stats) or number (best_loss) refers to, by the names of NumPy 1 and 2."""
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32")]
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    named = [(f, f"{module}.{f.__name__}") for f in (reconstruct, scalar) for module in modules]
    return [*named, np.ndarray, np.dtype, *dtypes]


def _array(value: Any, what: str) -> np.ndarray:
    """A tensor or array of finite numbers as an array. Half precision becomes float32, as NumPy has no bfloat16."""
    if hasattr(value, "detach"):
        try:
            tensor = value.detach()
            value = (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()
        except (TypeError, RuntimeError) as error:
            raise InputError(f"{what}: expected a dense tensor, found {_kind(value)} that NumPy cannot hold") from error
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "fiu":
        raise InputError(f"{what}: expected a tensor of numbers, found {_kind(value)}")
    if not np.isfinite(value).all():
        raise InputError(f"{what}: holds NaN or infinity, expected finite numbers (a diverged training run?)")
    return np.asarray(value)


def _regression_stats(value: Any, source: str | Path) -> np.ndarray:
    stats = _array(value, f"{source}: reg_stats").astype(np.float64)
    if stats.shape != (2, 2):
        raise InputError(f"{source}: reg_stats has shape {stats.shape}, expected (2, 2): a mean and a deviation row")
    return stats


def _check_names(paths: Mapping[str, Any], source: str | Path) -> None:
    unknown = [path for path in paths if path not in AUTHORS_NAMES]
    if unknown:
        raise InputError(
            f"{source}: the authors' code has no tensor for {', '.join(unknown)}; "
            f"only models with proposal_net 'pgcn' or 'none' have a torch form"
        )


def _is_transposed(theirs: str) -> bool:
    return theirs.endswith("_fc.weight")


def _convert(theirs: str, value: Any) -> np.ndarray:
    """Converts a tensor from one layout to the other, in either direction; a contiguous copy."""
    array = np.asarray(value)
    dtype = np.int64 if theirs.endswith("num_batches_tracked") else np.float32
    return np.array(array.T if _is_transposed(theirs) else array, dtype, order="C")


def _flat(tree: Tree, prefix: str = ""):
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[leaf] = value
    return tree


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return f"an array of {value.dtype}"
    return f"an empty {type(value).__name__}" if isinstance(value, Mapping) and not value else type(value).__name__
