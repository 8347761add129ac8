"""What transforms share that do nothing by time alone."""

from vector_standin.event import Outputs


class Timeless:
    def tick(self, *, final: bool) -> Outputs:
        return Outputs()
