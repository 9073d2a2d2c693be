"""The pickles that torch.save writes, read without torch and without pickle: nothing in them can run code.

A pickle is a program for a stack machine. The machine below knows only the instructions that tensors and flat
containers of tensors need. Where pickle would call a function, this machine builds a description (TensorRef).
"""

import pickletools
from typing import BinaryIO, NamedTuple

from contextloc_jax.core.errors import InputError, excerpt

STORAGE_DTYPES = {  # torch's storage class -> NumPy dtype; "bfloat16" is the upper half of a float32
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_ALLOWED = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    *((module, storage) for module in ("torch", "torch.cuda") for storage in STORAGE_DTYPES),
}
_REFUSAL = (
    "refused: only tensors are read, because other pickles can run code; save features with torch.save(tensor, file)"
)
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"} | {
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


class StorageRef(NamedTuple):
    """A flat array of `count` values, stored in the file under `key`. dtype: as in STORAGE_DTYPES."""

    key: str
    dtype: str
    count: int


class TensorRef(NamedTuple):
    """A view of a storage: offset and strides are counted in values."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    """The name of a function or class in the pickle. It is never imported."""

    module: str
    name: str


def load(stream: BinaryIO, where: str) -> tuple[object, dict[str, StorageRef]]:
    """The content of the pickle that starts here, with TensorRefs for tensors, and all storages by key.

    Beside tensors, it may have dicts with text or whole numbers as keys, lists, tuples, numbers and text.
    InputError: it has anything else. Afterwards, `stream` is at the end of the pickle. The stream should be in memory,
    where damaged lengths do no harm.
    """
    machine = _Machine(where)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.pop(), machine.storages
            machine.step(opcode.name, argument)
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(f"{where}: damaged torch file ({excerpt(str(error))}): was it written completely?") from None
    raise InputError(f"{where}: damaged torch file: was it written completely?")


class _Machine:
    """Stack, marks and memo of one pickle."""

    def __init__(self, where: str):
        self._where = where
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self.storages: dict[str, StorageRef] = {}

    def pop(self) -> object:
        return self._stack.pop()

    def step(self, opcode: str, argument: object) -> None:
        """Runs one instruction."""
        if opcode in _LITERALS:
            self._stack.append(argument)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode])
        elif opcode in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[opcode])]
            self._stack.append(tuple(reversed(items)))
        elif opcode not in _IGNORED:
            self._structure(opcode, argument)

    def _structure(self, opcode: str, argument: object) -> None:
        match opcode:
            case "MARK":
                self._marks.append(len(self._stack))
            case "TUPLE":
                self._stack.append(tuple(self._pop_to_mark()))
            case "EMPTY_LIST":
                self._stack.append([])
            case "EMPTY_DICT":
                self._stack.append({})
            case "APPEND":
                self._extend([self.pop()])
            case "APPENDS":
                self._extend(self._pop_to_mark())
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case _:
                self._object(opcode, argument)

    def _object(self, opcode: str, argument: object) -> None:
        match opcode:
            case "GLOBAL":
                self._stack.append(self._name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                self._stack.append(self._name(module, name))
            case "BINPERSID":
                self._stack.append(self._storage(self.pop()))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                self._stack.append(self._result(function, arguments))
            case "BUILD":  # attributes of the object below it on the stack: a state_dict has some; they are not needed
                self.pop()
                self._expect(dict)
            case _:
                raise InputError(f"{self._where}: {_REFUSAL} (pickle instruction {opcode})")

    def _pop_to_mark(self) -> list[object]:
        mark = self._marks.pop()
        items, self._stack[mark:] = self._stack[mark:], []
        return items

    def _expect(self, kind: type) -> object:
        if type(self._stack[-1]) is not kind:
            raise ValueError(f"a {kind.__name__} is missing")
        return self._stack[-1]

    def _extend(self, items: list[object]) -> None:
        self._expect(list).extend(items)

    def _set_items(self, items: list[object]) -> None:
        keys, values = items[::2], items[1::2]
        if not all(isinstance(key, str | int) for key in keys):
            raise ValueError("a key that is not text")
        self._expect(dict).update(zip(keys, values, strict=True))

    def _name(self, module: object, name: object) -> _Name:
        if type(module) is not str or type(name) is not str or (module, name) not in _ALLOWED:
            hint = "; it holds a NumPy array: save it as .npy" if str(module).startswith("numpy") else ""
            raise InputError(f"{self._where}: {_REFUSAL} (it asks for {excerpt(f'{module}.{name}')}){hint}")
        return _Name(module, name)

    def _storage(self, reference: object) -> StorageRef:
        match reference:
            case ("storage", _Name(_, storage), str(key), _, int(count), *view) if view in ([], [None]) and count >= 0:
                if storage in STORAGE_DTYPES:
                    return self.storages.setdefault(key, StorageRef(key, STORAGE_DTYPES[storage], count))
        raise ValueError("an unknown storage")

    def _result(self, function: object, arguments: object) -> object:
        match function, arguments:
            case _Name(_, "OrderedDict"), ():
                return {}
            case _Name(_, "_rebuild_tensor" | "_rebuild_tensor_v2"), (
                StorageRef() as storage,
                offset,
                shape,
                strides,
                *_,
            ):
                if _are_counts((offset,)) and _are_counts(shape) and _are_counts(strides):
                    return TensorRef(storage, offset, shape, strides)
            case _Name(_, "_rebuild_parameter"), (TensorRef() as tensor, *_):
                return tensor
        raise ValueError("an unknown object")


def _are_counts(numbers: object) -> bool:
    return type(numbers) is tuple and all(type(number) is int and number >= 0 for number in numbers)
