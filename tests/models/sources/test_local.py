import hashlib
from dataclasses import replace

import pytest

from stemscribe.errors import FetchError
from stemscribe.models.sources import ContentError, Convert, Derive, File, Https, Join, PyPI, SourceError, Target, Text


def test_file_is_copied(content, target, context, tmp_path):
    (tmp_path / "mine.bin").write_bytes(content)
    File(str(tmp_path / "mine.bin")).write(target, context)
    assert target.path.read_bytes() == content


def test_missing_file_is_a_reason(target, context, tmp_path):
    with pytest.raises(SourceError, match="No such file"):
        File(str(tmp_path / "none.bin")).write(target, context)


def test_relative_path_is_refused(target, context):
    with pytest.raises(SourceError, match="not absolute"):
        File("none.bin").write(target, context)


def test_joined_parts_stand_in_order_and_leave_nothing_behind(server, content, target, context, tmp_path):
    (tmp_path / "one").write_bytes(content[:1000])
    source = Join((File(str(tmp_path / "one")), Https(server.serve("/two", content[1000:]))))
    source.write(target, context)
    assert target.path.read_bytes() == content
    assert not list(tmp_path.glob("*.part.0")) + list(tmp_path.glob("*.part.1"))


def test_progress_of_a_join_runs_through_all_parts(server, content, context, tmp_path):
    seen = []
    target = Target(tmp_path / "x.part", len(content), None, lambda done, total: seen.append((done, total)))
    urls = [server.serve("/one", content[:1000]), server.serve("/two", content[1000:])]
    Join(tuple(Https(url) for url in urls)).write(target, context)
    assert seen == sorted(seen)
    assert (1000, len(content)) in seen
    assert seen[-1] == (len(content), len(content))


def test_downloaded_part_is_kept_when_the_next_one_fails(server, content, target, context, tmp_path):
    source = Join((Https(server.serve("/one", content)), File(str(tmp_path / "two"))))
    with pytest.raises(SourceError):
        source.write(target, context)
    (tmp_path / "two").write_bytes(b"end")
    source.write(target, context)
    assert target.path.read_bytes() == content + b"end"
    assert len(server.requests) == 1


def test_join_needs_the_network_when_a_part_does(tmp_path):
    here = File(str(tmp_path))
    assert not Join((here, here)).online
    assert Join((here, Https("https://nowhere.invalid/x"))).online


def reverse(origin, target):
    target.write_bytes(origin.read_bytes()[::-1])


def test_derived_file_is_what_the_conversion_makes(target, context, tmp_path):
    (tmp_path / "origin").mkdir()
    (tmp_path / "origin" / "model.bin").write_bytes(b"abc")
    context = replace(context, conversions={"reverse": reverse})
    Derive("origin", "model.bin", "reverse").write(target, context)
    assert target.path.read_bytes() == b"cba"


def test_conversion_that_is_not_known(target, context):
    with pytest.raises(SourceError, match="no conversion called reverse"):
        Derive("origin", "model.bin", "reverse").write(target, context)


@pytest.mark.parametrize("error", [FetchError("the origin is gone"), ValueError("not such a file")])
def test_conversion_that_fails_is_a_reason(target, context, error):
    def fail(origin, target):
        raise error

    with pytest.raises(SourceError, match=str(error)):
        Derive("origin", "model.bin", "fail").write(target, replace(context, conversions={"fail": fail}))


def test_text_stands_in_the_catalog(target, context):
    Text('{"name": "Défossez"}').write(target, context)
    assert target.path.read_text(encoding="utf-8") == '{"name": "Défossez"}'


@pytest.fixture
def converting(context):
    return replace(context, conversions={"reverse": reverse, "fail": fail})


def fail(origin, target):
    target.write_bytes(b"begun")
    raise ValueError("not such a file")


def of(origin, content, conversion="reverse"):
    return Convert(origin, conversion, hashlib.sha256(content).hexdigest(), len(content))


def test_converted_file_is_made_from_a_verified_origin_which_is_deleted(server, content, target, converting):
    of(Https(server.serve("/m.th", content)), content).write(target, converting)
    assert target.path.read_bytes() == content[::-1]
    assert list(target.path.parent.glob("*origin*")) == []


def test_origin_that_is_another_file_is_never_converted(server, content, target, context):
    def never(origin, target):
        raise AssertionError("it was converted")

    source = of(Https(server.serve("/m.th", content[::-1])), content, "never")
    with pytest.raises(ContentError, match="expected sha256"):
        source.write(target, replace(context, conversions={"never": never}))
    assert not target.path.exists()


def test_cut_download_of_an_origin_goes_on(server, content, target, converting):
    source = of(Https(server.serve("/m.th", content, cuts=[300_000, 0, 0, 0])), content)
    with pytest.raises(SourceError, match="cut"):
        source.write(target, converting)
    assert target.resumable
    source.write(target, converting)
    assert server.ranges_asked()[-1] == "bytes=300000-"
    assert target.path.read_bytes() == content[::-1]


def test_origin_that_cannot_be_converted_is_not_kept(server, content, target, converting):
    with pytest.raises(SourceError, match="cannot be converted: not such a file"):
        of(Https(server.serve("/m.th", content)), content, "fail").write(target, converting)
    assert not target.resumable
    assert list(target.path.parent.glob("*origin*")) == []


def test_origin_in_several_files_is_joined_verified_and_converted(server, content, target, converting, tmp_path):
    (tmp_path / "end").write_bytes(b"end")
    source = of(Join((Https(server.serve("/begin", content)), File(str(tmp_path / "end")))), content + b"end")
    source.write(target, converting)
    assert target.path.read_bytes() == (content + b"end")[::-1]
    assert list(target.path.parent.glob("*origin*")) == []


def test_joined_origin_whose_parts_are_others_is_never_converted(server, content, target, converting, tmp_path):
    (tmp_path / "end").write_bytes(b"not the end")
    source = of(Join((Https(server.serve("/begin", content)), File(str(tmp_path / "end")))), content + b"end")
    with pytest.raises(ContentError):
        source.write(target, converting)
    assert not target.path.exists()


def test_conversion_takes_room_for_the_origin_too():
    https, wheel = Https("https://nowhere.invalid/x"), PyPI("tiny", "1.0", "x")
    assert (of(https, b"x").copies, of(wheel, b"x").copies) == (2, 3)
    assert (of(Join((wheel, wheel)), b"x").copies, of(Join((https, wheel)), b"x").online) == (4, True)
    assert (of(https, b"x").online, of(File("/x"), b"x").online) == (True, False)
