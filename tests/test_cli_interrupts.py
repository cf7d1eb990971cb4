"""What the command line says where Ctrl-C meets it outside of the work."""

import signal
from typing import Any

from _study_runs import on_the_terminal
from noisegate import cli
from noisegate.study import main


def test_ctrl_c_while_the_arguments_are_read_is_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parser", interrupted)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "noisegate: interrupted.\n"


def test_ctrl_c_that_an_import_turns_into_an_error_is_an_interrupt(monkeypatch, capsys, tmp_path):
    def imports(*_: Any, **__: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(main, "execute_all", imports)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        found, out, err = on_the_terminal(["study", "--out", str(tmp_path / "o")], capsys)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (found, out) == (130, "")
    assert err == ("noisegate: interrupted. What has finished is saved: go on with --resume.\n")
