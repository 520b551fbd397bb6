from picodet.errors import MAX_CHARACTERS, CheckpointError, one_line


def test_a_strangers_text_is_fit_for_a_terminal():
    assert one_line("a\nError: all fine\x1b[2J \udce9") == "a Error: all fine\\x1b[2J \\udce9"


def test_messages_are_bounded():
    assert len(str(CheckpointError("x" * 10**6))) == MAX_CHARACTERS + 4
