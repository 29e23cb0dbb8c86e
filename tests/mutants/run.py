#!/usr/bin/env python3
"""Plants bugs in the engine, one at a time: the tests must find each of them.

usage: tests/mutants/run.py [--build FOLDER] [--jobs N] [--quick] [--known | --all] [--with PROGRAM]...
                               [NAME]...
       tests/mutants/run.py --list

The bugs are in mutants.py. For each the file of core/ that it is in is compiled once more, with the
bug in a copy, and linked in front of the rest of the engine with the test programs that there are
in the build folder, one after the other, until one fails: first those that the list names, then the
others, the quick ones first. What fails must pass with the engine as it is, or it proves nothing.

NAMEs are of mutants, or the beginnings of some; without one it is all of them, with --quick those
that are quick to find. --known tries only the programs that the list names, --all takes all of them
in their own order. The last lines are the sums. A survivor is a bug in the engine that no test
would find. Exit status: 0 when none survives, 1, or 2 for a list or build that is of no use. The
programs that failed stay in FOLDER/mutants/NAME, to be run again."""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time

import mutants

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEMORY_MAX = 4 << 30  # a program gone wild takes no more
SECONDS_MAX = 1500  # far more than any takes, on a busy machine too: what hangs has failed

UNIT = 'sums pagecache record tokens journal checkpoint meta replay recover region_token ' \
    'region_verify region_load region_atomic region_commit region_ahead region_durability region_checkpoint ' \
    'region_room region_discard region_failure region_open region_upload region_upload_space region ' \
    'store store_faults store_making migrate region_scrub region_backup backups bitrot killed oracle faults'
PROFILES = 'small interval discard reload growing large uploads'


def all_programs():
    """Name -> target and arguments, those that take long last."""
    programs = {name: (f'test_core_{name}', []) for name in UNIT.split()}
    programs['crash/store'] = ('crash_store_crash_small', [])
    programs['crash/bitrot'] = ('crash_bitrot_small', [])
    programs['crash/oracle'] = ('crash_oracle_small', [])
    programs['crash/faults'] = ('crash_faults_small', [])
    for name in ('region_upload', 'region_upload_space'):
        programs[f'crash/{name}'] = (f'crash_{name}_small', [])
    programs['crash/killed'] = ('crash_killed_small', [])
    for profile in PROFILES.split():
        programs[f'crash/{profile}'] = ('crash_region_small', ['--profile', profile])
    programs['crash/migration'] = ('crash_migration_small', [])
    programs['faulty_memory'] = ('test_core_faulty_memory', [])
    programs['crash/real'] = ('crash_region_real', ['--profile', 'real'])
    return programs


PROGRAMS = all_programs()


class Useless(Exception):
    """The list does not fit the sources, or the build is not there."""


class Build:
    """How the build folder compiles a file of core/ and links a program."""

    def __init__(self, folder):
        self.folder = folder
        self.compiles = {}
        self.links = {}
        self.lock = threading.Lock()
        try:
            commands = json.loads((folder / 'compile_commands.json').read_text())
        except OSError as error:
            raise Useless(f'{folder} is no build folder: {error}') from error
        for entry in commands:
            words = shlex.split(entry['command'])
            self.compiles[words[words.index('-o') + 1]] = words

    def link(self, target):
        with self.lock:
            if target not in self.links:
                text = subprocess.run(['ninja', '-C', self.folder, '-t', 'commands', target],
                                      check=True, capture_output=True, text=True).stdout
                words = shlex.split(text.splitlines()[-1])
                self.links[target] = [word for word in words if word not in (':', '&&')]
            return self.links[target]

    def object_of(self, target, name):
        """The object of core/NAME that this program is linked with."""
        words = self.link(target)
        if 'core/libmr_core.a' in words:
            return f'core/CMakeFiles/mr_core.dir/{name}.o'
        if 'tests/crash/libtest_crash_small.a' in words:
            return f'tests/crash/CMakeFiles/test_crash_small.dir/__/__/core/{name}.o'
        return f'tests/core/CMakeFiles/test_core_faulty.dir/__/__/core/{name}.o'

    def run(self, words):
        result = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        if result.returncode != 0:
            raise Useless(f'{shlex.join(map(str, words))}\n{result.stdout}{result.stderr}')

    def compile(self, object_file, source, output):
        if object_file not in self.compiles:
            raise Useless(f'nothing in {self.folder} compiles {object_file}')
        words = list(self.compiles[object_file])
        words[words.index('-o') + 1] = output
        words[-1] = source
        self.run([*words, '-w'])

    def link_with(self, target, object_file, mutant_object, output):
        words = list(self.link(target))
        if object_file in words:
            words[words.index(object_file)] = mutant_object
        at = words.index('-o')
        if mutant_object not in words:
            words.insert(at, mutant_object)  # the archive's own is not taken then
            at += 1
        words[at + 1] = output
        self.run(words)


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def what_failed(text, status):
    """The test and its complaint, out of a program's output."""
    found = re.search(r'^[^\s:]+:\d+:[FE]:[^:]*:([^:]+):(\d+): (.*)', text, re.M)
    crashed = re.findall(r'^.*Assertion .*failed\.$', text, re.M)
    seed = re.findall(r'^replay: .*--seed (\d+)', text, re.M)
    if found:
        test, number, complaint = found.groups()
        if crashed and 'signal' in complaint:
            complaint = crashed[0].split(': ', 1)[-1]
        return f'{test} [{number}]: {complaint}'
    if seed:
        complaint = re.findall(r'^(?:after a power cut|seed \d+|at change .*): (.*)', text, re.M)
        return f'seed {seed[-1]}: {complaint[0] if complaint else "failed"}'
    if crashed:
        return crashed[0].split(': ', 1)[-1]
    return f'ended with status {status}'


def run_program(path, arguments):
    """None, or what failed."""
    process = subprocess.Popen([path, *arguments], cwd=path.parent, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors='replace', start_new_session=True, preexec_fn=limit)
    try:
        text, _ = process.communicate(timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f'hangs: no end after {SECONDS_MAX} s'
    return None if process.returncode == 0 else what_failed(text, process.returncode)


class Reference:
    """The engine as it is: each program that has found a mutant must pass with it."""

    def __init__(self, build):
        self.build = build
        self.results = {}
        self.locks = {name: threading.Lock() for name in PROGRAMS}

    def check(self, name):
        target, arguments = PROGRAMS[name]
        with self.locks[name]:
            if name not in self.results:
                words = self.build.link(target)
                path = (self.build.folder / words[words.index('-o') + 1]).resolve()
                if not path.exists():
                    raise Useless(f'{path} is not built')
                self.results[name] = run_program(path, arguments)
            return self.results[name]


def patched(mutant):
    """The text of the mutant's file, with the bug."""
    text = (ROOT / 'core' / mutant.file).read_text()
    for old, new in mutant.edits:
        if text.count(old) != 1:
            raise Useless(f'{mutant.name}: core/{mutant.file} has {text.count(old)} times, '
                          f'instead of once:\n{old}')
        text = text.replace(old, new)
    return text


def order(mutant, which):
    if isinstance(which, list):
        return which
    known = mutant.found_by if which != 'all' else []
    others = [name for name in PROGRAMS if name not in known]
    return known if which == 'known' else known + others


def try_mutant(build, mutant, names):
    """The program that found it and what it said; None and None."""
    folder = build.folder / 'mutants' / mutant.name
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / mutant.file
    source.write_text(patched(mutant))
    objects = {}
    for name in names:
        target, arguments = PROGRAMS[name]
        object_file = build.object_of(target, mutant.file)
        if object_file not in objects:
            output = folder / f'{len(objects)}-{mutant.file}.o'
            build.compile(object_file, source, output)
            objects[object_file] = str(output)
        program = folder / target
        build.link_with(target, object_file, objects[object_file], str(program))
        complaint = run_program(program, arguments)
        if complaint is not None:
            return name, complaint
        program.unlink()
    return None, None


class Run:
    def __init__(self, build, which):
        self.build = build
        self.reference = Reference(build)
        self.which = which
        self.lock = threading.Lock()
        self.killers, self.unlisted = collections.Counter(), []
        self.survived, self.useless = [], []

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def one(self, mutant):
        started = time.monotonic()
        try:
            name, complaint = try_mutant(self.build, mutant, order(mutant, self.which))
            seconds = time.monotonic() - started
            broken = None if name is None else self.reference.check(name)
        except Useless as error:
            self.useless.append(mutant.name)
            self.say(f'{mutant.name}: {error}')
            return
        if name is None:
            self.survived.append(mutant.name)
            self.say(f'{mutant.name}: SURVIVED ({seconds:.0f} s): {mutant.sentence}')
        elif broken is not None:
            self.useless.append(mutant.name)
            self.say(f'{mutant.name}: {name} fails with the engine as it is: {broken}')
        else:
            note = '' if name in mutant.found_by else ', which the list does not say'
            with self.lock:
                self.killers[name] += 1
                self.unlisted += [mutant.name] if note else []
            self.say(f'{mutant.name}: killed by {name}{note}: {complaint[:160]} ({seconds:.0f} s)')

    def result(self):
        programs = sum(1 for result in self.reference.results.values() if result is None)
        killed = sum(self.killers.values())
        for name, count in sorted(self.killers.items(), key=lambda item: (-item[1], item[0])):
            print(f'{name}: {count} killed')
        for kind, names in (('not by whom the list says', self.unlisted),
                            ('survived', self.survived), ('of no use', self.useless)):
            if names:
                print(f'{kind}: tests/mutants/run.py {" ".join(sorted(names))}')
        print(f'mutants: {killed + len(self.survived) + len(self.useless)} tried, {killed} killed, '
              f'{len(self.survived)} survived, {len(self.useless)} of no use; {programs} programs '
              'passed with the engine as it is')
        return 2 if self.useless else 1 if self.survived else 0


def check_list():
    """The whole list must fit, whatever is run of it."""
    problems = []
    for mutant in mutants.ALL:
        unknown = [name for name in mutant.found_by if name not in PROGRAMS]
        if unknown:
            problems.append(f'{mutant.name}: no program is called {unknown[0]}')
        try:
            patched(mutant)
        except Useless as error:
            problems.append(str(error))
    if problems:
        raise Useless('\n'.join(problems))


def chosen(names, quick):
    every = [mutant for mutant in mutants.ALL if not quick or mutant.quick]
    if not names:
        return every
    found = set()
    for name in names:
        exact = [mutant for mutant in every if mutant.name == name]
        some = exact or [mutant for mutant in every if mutant.name.startswith(name)]
        if not some:
            raise Useless(f'no mutant is called {name}')
        found.update(some)
    return [mutant for mutant in every if mutant in found]


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split('\n\n')[1].replace('usage: ', ''))
    parser.add_argument('--build', type=pathlib.Path, default=ROOT / '.build/release')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('--quick', action='store_true')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--known', action='store_true')
    which.add_argument('--all', action='store_true')
    parser.add_argument('--with', dest='programs', action='append', choices=PROGRAMS)
    parser.add_argument('--list', action='store_true')
    parser.add_argument('names', nargs='*')
    options = parser.parse_args()
    try:
        wanted = chosen(options.names, options.quick)
        check_list()
        if options.list:
            for mutant in wanted:
                print(f'{mutant.name} (core/{mutant.file}): {mutant.sentence}')
            return 0
        which = 'known' if options.known or options.quick else 'all' if options.all else 'first'
        run = Run(Build(options.build.resolve()), options.programs or which)
    except Useless as error:
        print(error, file=sys.stderr)
        return 2
    places = list(PROGRAMS)
    wanted.sort(key=lambda mutant: min(map(places.index, mutant.found_by), default=len(places)))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run.one, wanted))
    return run.result()


if __name__ == '__main__':
    sys.exit(main())
