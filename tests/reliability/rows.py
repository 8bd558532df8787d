"""The rows of docs/reliability.md: what each promises, in the order of the page. What was measured is in the JSON files of
docs/reliability/; nothing here is a result."""

# id, what is done to the agent, the figure to reach
ROWS = (
    ("R1", "SIGKILL before and after each journal write and each effect, in every scenario; a second kill in the recovery",
     "0 lost, 0 started twice, 0 false Success"),
    ("R2", "power loss at each sync, under agent and runner: random subsets of what was not synced survive, torn and reordered",
     "as R1; the journal opens with no manual repair, always"),
    ("R3", "SIGKILL of agent and of runner at random moments, every 0.1 to 5 s, under a steady flow of commands",
     "as R1; a killed runner is an unknown outcome, never Success"),
    ("R4", "a real machine (Debian in QEMU, systemd): hard resets at random moments, real reboots of exit 194",
     "as R1; at least 500 resets in the long run"),
    ("R5", "no space, no inodes, EIO, read-only remount at each write, once and for good",
     "0 lost, 0 started unjournalled; every running command records its end; ssmctl reads; back to work within 60 s"),
    ("R6", "fsync fails at each sync",
     "0 acknowledgements for what is not on disk; the journal is reopened and verified before any new start"),
    ("R7", "the n-th malloc, open, fork, socket, pipe fails, for all n; 64 descriptors",
     "0 crashes, 0 leaks, 0 lost"),
    ("R8", "clock jumps of 1 s to 10 y, forward and back, at boot and in mid-command; suspend",
     "time limits off by 1 s at most; 0 lost"),
    ("R9", "a bad service: duplicates, reordering, dropped acknowledgements, 5xx, 403, throttling, half-open, slow answers",
     "0 started twice; capped back-off with jitter"),
    ("R11", "SIGKILL and power loss at every commit and effect of an update, forward and back",
     "one version runs at the end, always, and the report is true"),
    ("R12", "the agent is restarted and replaced under 10, 100 and 1,000 running commands",
     "100 % true exit codes, 0 children killed"),
    ("R14", "a hostile local user: links, rename races, FIFOs, planted sockets, reused process ids",
     "0 writes outside, 0 escalations"),
    ("R15", "cancel and time-out of trees that fork, call setsid, ignore TERM, become daemons",
     "0 processes left 5 s after KILL"),
    ("R16", "random changes to journal rows: edit, delete, swap, insert, cut off the tail",
     "100 % found by ssmctl audit verify, with the first bad row named"),
    ("R17", "a million commands, one after another and in bursts",
     "start-up within 1 s, ssmctl show within 200 ms; what is kept stays below its caps; every id still recognised"),
    ("R19", "synced commits of a one-step command; the time from acceptance to start beside one synced commit of that disk",
     "at most 6 commits, aim 3; accept to start, 99th percentile, within 5 commits"),
    ("R20", "sanitizers, valgrind on the runner, clang-tidy, cppcheck, gcc -fanalyzer",
     "0 reports, 0 unreviewed findings"),
)

IDS = tuple(row[0] for row in ROWS)


def told(row_id):
    """(what is done, figure to reach) of a row."""
    for name, test, target in ROWS:
        if name == row_id:
            return test, target
    raise KeyError(f"there is no row {row_id}; rows are {', '.join(IDS)}")


def program(row_id):
    """The file name of a row's program."""
    return f"r{int(row_id[1:]):02d}.py"
