"""Union-find: what belongs together by a chain of ties; the least element names a set."""

from typing import Any, Generic, TypeVar

Element = TypeVar("Element", bound=Any)


class Unions(Generic[Element]):
    """Sets that grow together; an element nobody joined is a set of its own."""

    def __init__(self) -> None:
        self._up: dict[Element, Element] = {}

    def root(self, element: Element) -> Element:
        """The element that names the set of this one."""
        up = self._up
        if element not in up:
            return element
        root = element
        while (above := up.get(root, root)) != root:
            root = above
        while element != root:
            up[element], element = root, up.get(element, root)
        return root

    def join(self, one: Element, other: Element) -> None:
        """Make one set of the sets of these two."""
        a, b = self.root(one), self.root(other)
        if a != b:
            low, high = (a, b) if a < b else (b, a)
            self._up[high] = low
