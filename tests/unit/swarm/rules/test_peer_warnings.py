from __future__ import annotations

from p2pcache.swarm.rules.peer_warnings import AGAIN, PeerWarnings
from p2pcache.swarm.rules.reasons import OURS, Ended, Reason

ADDRESS = "/ip4/10.0.0.1/tcp/1"


def refused(reason: Reason) -> Ended:
    return Ended(reason)


def dropped(reason: Reason) -> Ended:
    ended = Ended(reason)
    ended.met = True
    return ended


def test_what_nobody_can_do_anything_about_is_not_said() -> None:
    log = PeerWarnings()
    for ended in (Ended(Reason.SECRET, ours=False), Ended(Reason.LEAVING), Ended(Reason.BROKEN), Ended(Reason.SILENT)):
        assert log.sentence("p", ADDRESS, ended, 0.0) is None


def test_strangers_are_a_line_a_minute_for_each_reason_under_whatever_name() -> None:
    log = PeerWarnings()
    lines = [log.sentence(f"p{number}", ADDRESS, refused(Reason.SECRET), number * 0.01) for number in range(1000)]
    assert [line for line in lines if line] == [f"a peer at {ADDRESS} was refused: {OURS[Reason.SECRET]}"]
    assert log.sentence("p", ADDRESS, refused(Reason.CLOCK), 5.0)
    later = log.sentence("p", ADDRESS, refused(Reason.SECRET), AGAIN)
    assert later == f"a peer at {ADDRESS} was refused: {OURS[Reason.SECRET]} (and 999 more since it was last said)"


def test_each_sentence_of_strangers_is_there_and_their_number_is_bounded() -> None:
    log = PeerWarnings()
    for sentence in ("it has expired", "it was presented before"):
        line = log.sentence("p", ADDRESS, Ended(Reason.TOKEN, detail=sentence), 0.0)
        assert line == f"a peer at {ADDRESS} was refused: {sentence}"
    lines = [log.sentence("p", ADDRESS, Ended(Reason.TOKEN, detail=f"it is number {n}"), 1.0) for n in range(1000)]
    assert sum(line is not None for line in lines) == 6
    assert log.sentence("p", ADDRESS, refused(Reason.SECRET), 1.0), "another reason has lines of its own"
    later = log.sentence("p", ADDRESS, Ended(Reason.TOKEN, detail="it has expired"), 2 * AGAIN)
    assert later == f"a peer at {ADDRESS} was refused: it has expired (and 994 more since it was last said)"


def test_a_member_is_complained_of_once() -> None:
    log = PeerWarnings()
    assert log.sentence("p", ADDRESS, dropped(Reason.GARBAGE), 0.0) == f"a peer at {ADDRESS} was dropped: " + str(
        dropped(Reason.GARBAGE)
    )
    assert log.sentence("p", ADDRESS, dropped(Reason.GARBAGE), 2 * AGAIN) is None
    assert log.sentence("p", ADDRESS, dropped(Reason.FLOOD), 2 * AGAIN)
    assert log.sentence("q", ADDRESS, dropped(Reason.FLOOD), 2 * AGAIN)


def test_members_that_change_their_names_are_bounded_too() -> None:
    log = PeerWarnings()
    lines = [log.sentence(f"p{number}", ADDRESS, dropped(Reason.GARBAGE), 0.0) for number in range(1000)]
    assert sum(line is not None for line in lines) == 16
    for minute in range(1, 30):
        for number in range(16):
            assert log.sentence(f"p{minute}-{number}", ADDRESS, dropped(Reason.GARBAGE), minute * AGAIN)
    assert len(log._members) == 256
