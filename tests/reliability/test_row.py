#!/usr/bin/python3
"""What row.py and page.py promise: a row is met only when everything was measured and reached, and the page shows it."""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import page  # noqa: E402
import row  # noqa: E402
import rows  # noqa: E402


def result_of(run, targets, scale="row", directory=None):
    """(exit status, JSON) of a row R3 with this run."""
    with tempfile.TemporaryDirectory() as own, contextlib.redirect_stdout(io.StringIO()):
        os.environ["SSMD_RELIABILITY_DIR"] = directory or own
        path = os.path.join(own, "out.json")
        status = row.Row("R3", "a test", targets).main(run, ["--scale", scale, "--json", path])
        with open(path, encoding="utf-8") as f:
            return status, json.load(f)


class Rows(unittest.TestCase):
    def test_a_row_is_met_exactly_when_all_is_measured_reached_and_nothing_failed(self):
        targets = {"lost": ("==", 0), "back_s": ("<=", 60)}
        for what, tell, is_met in (
                ("all is reached", lambda r: (r.count("lost", 0), r.figure("back_s", 3.5)), True),
                ("the bound itself", lambda r: (r.count("lost", 0), r.figure("back_s", 60)), True),
                ("one lost", lambda r: (r.count("lost"), r.figure("back_s", 3.5)), False),
                ("too late", lambda r: (r.count("lost", 0), r.figure("back_s", 60.1)), False),
                ("late once", lambda r: (r.count("lost", 0), r.worst("back_s", 61), r.worst("back_s", 2)), False),
                ("not measured", lambda r: r.count("lost", 0), False),
                ("a failure", lambda r: (r.count("lost", 0), r.figure("back_s", 1), r.fail("bang")), False),
                ("an exception", lambda r: (r.count("lost", 0), r.figure("back_s", 1), 1 / 0), False)):
            with self.subTest(what):
                status, result = result_of(lambda r, scale, random, tell=tell: tell(r), targets)
                self.assertEqual((status == 0, result["met"]), (is_met, is_met))
                self.assertEqual(bool(result["failures"]), not is_met)

    def test_the_same_seed_is_the_same_chance(self):
        def throw(r, scale, random):
            r.figure("thrown", random.random())
        self.assertEqual(result_of(throw, {})[1]["figures"], result_of(throw, {})[1]["figures"])

    def test_a_long_run_goes_on_where_it_was_broken_off(self):
        def run(r, scale, random):
            done = r.state.setdefault("done", [])
            for n in range(len(done), 4):
                r.count("runs")
                done.append(n)
                r.save()
                if n == 1 and not os.path.exists(flag):
                    with open(flag, "w", encoding="ascii"):
                        raise SystemExit(143)  # as the harness does when it is told to stop
        with tempfile.TemporaryDirectory() as directory:
            flag = os.path.join(directory, "flag")
            with self.assertRaises(SystemExit):
                result_of(run, {"runs": ("==", 4)}, "long", directory)
            self.assertTrue(os.path.exists(os.path.join(directory, "R3.state.json")))
            status, result = result_of(run, {"runs": ("==", 4)}, "long", directory)
            self.assertEqual((status, result["figures"]["runs"]), (0, 4))
            self.assertFalse(os.path.exists(os.path.join(directory, "R3.state.json")))

    def test_every_row_program_has_a_row(self):
        for name in os.listdir(HERE):
            if name[0] == "r" and name[1:3].isdigit():
                self.assertIn(f"R{int(name[1:3])}", rows.IDS)


class Pages(unittest.TestCase):
    def page(self, *arguments, results=()):
        with tempfile.TemporaryDirectory() as own:
            environment = {**os.environ, "SSMD_PAGE_DOCS": own}
            os.mkdir(os.path.join(own, "reliability"))

            def call(*words):
                return subprocess.run([sys.executable, os.path.join(HERE, "page.py"), *words], env=environment, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            for result in results:
                path = os.path.join(own, "result.json")
                row.write_json(path, result)
                done = call("--publish", path)
                if done.returncode:
                    return done.stdout
            self.assertEqual(call().returncode, 0)
            self.assertEqual(call("--check").returncode, 0)
            with open(os.path.join(own, "reliability.md"), encoding="utf-8") as f:
                text = f.read()
            with open(os.path.join(own, "reliability.md"), "w", encoding="utf-8") as f:
                f.write(text.replace("R3 |", "R3 | "))
            self.assertNotEqual(call("--check").returncode, 0, "a page changed by hand is not noticed")
            return text

    @staticmethod
    def line(text):
        return next(line for line in text.splitlines() if line.startswith("| R3 "))

    def test_what_has_no_result_is_not_measured(self):
        text = self.page()
        self.assertIn("| not measured |", self.line(text))
        self.assertEqual(sum(line.startswith("| R") for line in text.splitlines()), len(rows.ROWS))

    def test_a_result_is_shown_with_its_figures(self):
        def run(r, scale, random):
            r.count("lost", 0)
            r.count("runs", 12345)
            r.figure("back_s", 4.25)
        result = result_of(run, {"lost": ("==", 0), "back_s": ("<=", 60)})[1]
        text = self.line(self.page(results=[result]))
        for part in ("0 lost", "back 4.25 s", "runs 12,345", "row, seed 1", result["when"][:10], f"ssmd {result['version']}"):
            self.assertIn(part, text)
        self.assertNotIn("not reached", text)

    def test_what_is_not_reached_is_said(self):
        result = result_of(lambda r, scale, random: r.count("lost", 2), {"lost": ("==", 0)})[1]
        self.assertIn("**not reached:**", self.line(self.page(results=[result])))

    def test_results_that_are_none_are_refused(self):
        good = result_of(lambda r, scale, random: r.count("lost", 0), {"lost": ("==", 0)})[1]
        for what, change in (("met, with a bad figure", {"figures": {"lost": 1}}), ("met, with a failure", {"failures": ["x"]}),
                             ("a sample", {"scale": "sample"}), ("of no row", {"row": "R99"})):
            with self.subTest(what):
                said = self.page(results=[{**good, **change}])
                self.assertNotIn("# Reliability", said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
