"""The broker: nobody gets in without a password, and everybody may do what is theirs and no more."""

from studio.render.accounts import Account
from studio.verify.expected import Expected
from studio.verify.facts import Facts

REFUSALS = ("Not authorized", "Bad user name or password", "Bad authentication method", "Banned")
GRANTED = ("Granted QoS 0", "Granted QoS 1", "Granted QoS 2")


def _refused(answer: str) -> bool:
    return any(words in answer for words in REFUSALS)


def check_stranger_is_refused(facts: Facts, stranger: str) -> None:
    answer = facts["broker"][stranger]
    assert _refused(answer), f"the broker answered: {answer}"


def check_account_gets_in_with_its_password(facts: Facts, account: Account) -> None:
    answer = facts["broker"]["accounts"][account.name]["connect"]
    assert answer == "Success", f"the broker answered: {answer}"


def check_account_may_read_what_is_its_own(facts: Facts, reader: Account) -> None:
    told = facts["broker"]["accounts"][reader.name]["subscribe"]
    own = [p.topic for p in reader.permissions if p.activity == "SUBSCRIBE"]
    refused = [f"{topic}: {told.get(topic, 'not connected')}" for topic in own if told.get(topic) not in GRANTED]
    assert not refused, "; ".join(refused)


def check_account_may_not_read_more(facts: Facts, expected: Expected, account: Account) -> None:
    told = facts["broker"]["accounts"][account.name]
    assert told["connect"] == "Success", "it does not get in, so nothing is known"
    own = {p.topic for p in account.permissions if p.activity == "SUBSCRIBE"}
    # Mosquitto grants every subscription and delivers only what the account may read.
    if expected.studio.broker == "hivemq":
        granted = [topic for topic, answer in told["subscribe"].items() if topic not in own and not _refused(answer)]
        assert not granted, f"it may subscribe to {', '.join(granted)}"
    canary = expected.studio.topics.canary
    heard = [topic for topic in told["heard"] if topic == canary and canary not in own]
    assert not heard, f"it was sent messages of {', '.join(heard)}"


def check_account_may_not_write_elsewhere(facts: Facts, account: Account) -> None:
    told = facts["broker"]["accounts"][account.name]
    assert told["publish"], "it does not get in, so nothing is known"
    taken = [f"{topic}: {answer}" for topic, answer in told["publish"].items() if not _refused(answer)]
    assert not taken, f"the broker took a message to {'; '.join(taken)}"


def check_canary_is_taken_and_heard_by_vector(facts: Facts, expected: Expected) -> None:
    broker = facts["broker"]
    assert broker["canary"] == "Success", f"the broker answered: {broker['canary']}"
    heard = broker["accounts"]["vector"]["heard"]
    assert expected.studio.topics.canary in heard, "the account vector did not hear it"
