"""The tree of a proposal and its neighbors: the center, its 4 children, and the 4 children of each child.

A tree is a row of 21 nodes: node 0 is the center, and the children of node r are nodes 4 r + 1 .. 4 r + 4 (golden
"sampling"). Only the first 5 nodes have children. This module is plain Python, so it costs nothing to import.
"""

CHILDREN = 4
INNER_NODES = 1 + CHILDREN  # the nodes that have children
TREE_NODES = 1 + CHILDREN + CHILDREN * CHILDREN
FAMILIES = tuple(  # [INNER_NODES, 1 + CHILDREN]: an inner node, then its children, as places in the row
    (node, *range(CHILDREN * node + 1, CHILDREN * (node + 1) + 1)) for node in range(INNER_NODES)
)
