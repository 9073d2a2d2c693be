"""The 21 places of a tree."""

from contextloc_jax.localization.tree import CHILDREN, FAMILIES, INNER_NODES, TREE_NODES


def test_a_tree_has_its_center_4_children_and_16_grandchildren():
    assert (TREE_NODES, INNER_NODES) == (21, 5)
    assert FAMILIES == ((0, 1, 2, 3, 4), (1, 5, 6, 7, 8), (2, 9, 10, 11, 12), (3, 13, 14, 15, 16),
                        (4, 17, 18, 19, 20))  # fmt: skip


def test_every_node_but_the_center_is_the_child_of_one_inner_node():
    assert [parent for parent, *_ in FAMILIES] == [*range(INNER_NODES)]
    assert [child for _, *children in FAMILIES for child in children] == [*range(1, TREE_NODES)]
    assert {len(children) for _, *children in FAMILIES} == {CHILDREN}
