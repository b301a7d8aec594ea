#!/usr/bin/env python3
"""A person at a terminal.  typed.py TRANSCRIPT ANSWER COMMAND…: runs the command with a terminal of its own (a pty), waits until it asks, types the answer.

Standard output and error stay the caller's: only what goes through /dev/tty is seen here, and written to TRANSCRIPT.  ANSWER "^C": the interrupt key.
Exit code: the command's (128 + signal); 99 when the echo was not off while it asked, or not on again afterwards; 98 when nothing was asked in 30 s.
"""
import fcntl, os, select, sys, termios, time

transcript, answer, command = sys.argv[1], sys.argv[2], sys.argv[3:]
tty, keep = os.openpty()  # keep: its settings stay to be looked at when the command is gone
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(keep, termios.TIOCSCTTY, 0)
    os.execvp(command[0], command)
seen, wrong = b'', False


def echo():
    return termios.tcgetattr(keep)[3] & termios.ECHO != 0


def more(seconds):
    global seen
    ready, _, _ = select.select([tty], [], [], seconds)
    if not ready: return False
    try:
        part = os.read(tty, 4096)
    except OSError:
        return False
    seen += part
    return part != b''


end, status = time.monotonic() + 30, None
while not seen.endswith(b': ') and time.monotonic() < end and status is None:
    more(0.1)
    done, s = os.waitpid(pid, os.WNOHANG)
    if done: status = s
if status is None and not seen.endswith(b': '):
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    sys.exit(98)
if status is None:
    wrong = echo()
    os.write(tty, b'\x03' if answer == '^C' else answer.encode() + b'\n')
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: break
        more(0.05)
    wrong = wrong or not echo()
while more(0.05): pass
with open(transcript, 'wb') as f: f.write(seen)
sys.exit(99 if wrong else os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
