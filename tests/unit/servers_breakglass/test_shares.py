"""Shares: any M of N sign, fewer or wrong ones do not, and every refusal says which without a word of them."""

import itertools
from dataclasses import replace

import pytest

from ostiary.doors.servers.breakglass import shares as splitting
from ostiary.errors import UsageError
from ostiary.pki import ssh_signature

DATA = b"to be signed"


def read_again(shares):
    return [splitting.parse(one.text(), f"share-{one.number}") for one in shares]


def test_any_quorum_signs_by_the_one_authority(three_of_five):
    copies = read_again(three_of_five)
    assert [one.number for one in copies] == [1, 2, 3, 4, 5]
    for few in itertools.combinations(copies, 3):
        signer = splitting.join(few)
        assert signer.public_key == three_of_five[0].authority
    ssh_signature.verify(three_of_five[0].authority, signer.sign(DATA), DATA)
    assert splitting.join(copies).public_key == three_of_five[0].authority, "more are fine"


@pytest.mark.parametrize("few", [1, 2])
def test_fewer_do_not_sign_and_a_copy_does_not_count(three_of_five, few):
    copies = read_again(three_of_five)[:few]
    with pytest.raises(UsageError) as refused:
        splitting.join([*copies, copies[0]])
    assert refused.value.code == "too-few-shares"
    assert f"cannot sign with {few} of 5 shares" in str(refused.value)


@pytest.mark.parametrize(
    ("threshold", "count"), [(1, 3), (1, 1), (0, 3), (4, 3), (2, 17), (-1, 2), (2, 0)]
)
def test_what_makes_no_quorum_is_refused(threshold, count):
    with pytest.raises(UsageError):
        splitting.make("prod", threshold, count)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Prod", "-x", "a" * 64, "a\n"])
def test_a_name_that_is_no_project_is_refused(name):
    with pytest.raises(UsageError):
        splitting.make(name, 2, 3)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Prod", "-x", "a" * 64])
def test_a_share_of_what_is_no_project_is_refused(name, three_of_five):
    text = three_of_five[0].text().replace("\nproject: prod", f"\nproject: {name}")
    with pytest.raises(UsageError):
        splitting.parse(text, "it")


def test_shares_of_two_authorities_do_not_mix(three_of_five):
    other = splitting.make("test", 3, 5)
    with pytest.raises(UsageError) as refused:
        splitting.join(read_again([*three_of_five[:2], other[2]]))
    assert refused.value.code == "mixed-shares"
    assert "share-3 is a share of" in refused.value.why
    assert "of project test" in refused.value.why


def test_shares_of_another_splitting_that_claim_the_same_authority_do_not_sign(three_of_five):
    other = splitting.make("prod", 3, 5)
    claimed = [replace(one, authority=three_of_five[0].authority) for one in other]
    for few in ([*three_of_five[:2], claimed[2]], claimed[:3]):
        with pytest.raises(UsageError) as refused:
            splitting.join(read_again(few))
        assert refused.value.code == "mixed-shares"
    with pytest.raises(UsageError, match="both share 1, and differ"):
        splitting.join(read_again([three_of_five[0], claimed[0]]))


def changes(words):
    listed = words.split()
    return {
        "one word another": [
            *listed[:10],
            "academic" if listed[10] != "academic" else "acid",
            *listed[11:],
        ],
        "two swapped": [*listed[:10], listed[11], listed[10], *listed[12:]],
        "one missing": listed[:-1],
        "one more": [*listed, listed[-1]],
        "a word that is none": [*listed[:10], "xyzzy", *listed[11:]],
        "cut": listed[:5],
        "no letters": ["ü"] * 33,
    }


@pytest.mark.parametrize("name", changes(" ".join(map(str, range(33)))))
def test_a_corrupted_share_is_named_and_its_words_are_not_told(three_of_five, name):
    share = three_of_five[0]
    spoiled = changes(share.words)[name]
    if spoiled == share.words.split():
        pytest.fail("the change changes nothing")
    text = f"{share.text().partition('words:')[0]}words: {' '.join(spoiled)}\n"
    with pytest.raises(UsageError) as refused:
        splitting.parse(text, "envelope-1")
    assert refused.value.code == "bad-share"
    said = f"{refused.value} {refused.value.fix} {refused.value.__cause__}"
    assert "envelope-1" in said
    assert not set(spoiled[4:]) & set(said.lower().split()), "words of the share are a secret"


def test_a_share_copied_by_hand_is_read(three_of_five):
    share = three_of_five[3]
    copied = (
        f"  Project : prod\nAuthority: {share.authority.text('break glass')}\n"
        f"Words:  {share.words.upper().replace(' ', '   ')}  \n\n"
    )
    assert splitting.parse(share.text(), "file").words == share.words
    assert max(map(len, share.text().partition("project:")[2].splitlines()[3:])) < 72
    read = splitting.parse(copied, "paper")
    assert (read.number, read.threshold, read.words) == (4, 3, share.words)
    for line in ("Project", "Authority", "Words"):
        with pytest.raises(UsageError, match=f"no line '{line.lower()}"):
            splitting.parse(copied.replace(line, "Else"), "paper")
    assert share.words not in repr(read)
