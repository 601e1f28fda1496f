"""Names that people give on the page, kept where the model lies."""

from __future__ import annotations

import threading

from shoal.model.names import checked_name, give_name
from shoal.serve.models import Served
from shoal.text.curation import Curation
from shoal.text.topic_file import change_decisions
from shoal.text.topic_model import TopicModel

_TURN = threading.Lock()


def rename(served: Served, cluster: int, name: str | None) -> str | None:
    """Name a cluster or topic, or take its name away; durable on return. Answers the name as it is kept.

    The topics of a stream take it as a decision by hand, as ``shoal topics rename`` does.

    Raises
    ------
    BadInputError : a name that is too long, or empty. ShoalError : it cannot be written.
    """
    if served.topics is None:
        return give_name(served.home, cluster, name)
    name = None if name is None else checked_name(name, f"topic {cluster}")
    with _TURN:
        if served.home.is_dir():

            def change(now: Curation | None) -> Curation:
                curation = Curation() if now is None else now
                curation.rename(cluster, name)
                return curation

            change_decisions(served.home, change)
        else:
            model = TopicModel.load(served.home)
            model.rename(cluster, name).save(served.home)
    return name
