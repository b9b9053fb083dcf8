"""What a model takes of the memory, and what there is of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from trunkline.engine import memory
from trunkline.engine.memory import Need, need, shortage
from trunkline.engine.model import NANO, Figures, open_file
from trunkline.engine.weights import find

GB = 10**9
MIB = 1 << 20
SMALL = find("openai/gpt-oss-20b").figures


def machine(root: Path, **files: str) -> Path:
    """Writes files as the kernel would show them; ``__`` in a name stands for ``/``."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def meminfo(available: int) -> str:
    return (
        f"MemTotal: 99999999 kB\nMemAvailable:   {available // 1024} kB\nHugePages_Total:       0\n"
    )


def test_the_cache_is_what_llama_cpp_says_it_is():
    # Its log, with 8 slots of 4096 tokens: 16 + 3 MiB for a small model, and for one of the 20b's
    # shape 768 MiB in 12 layers and 144 MiB in the 12 with a window.
    shape = Figures(size_bytes=0, context=4096, layers=4, layer_cache_bytes=256, window=64)
    assert need(shape, slots=8, context=4096).cache == (16 + 3) * MIB
    assert need(SMALL, slots=8, context=4096).cache == (768 + 144) * MIB


def test_the_headers_of_a_file_tell_its_shape():
    file = open_file(NANO)
    assert file.layers > 0
    assert file.layer_cache_bytes > 0
    assert 0 < file.read_bytes < file.size_bytes


def test_the_weights_are_all_of_the_file_and_the_context_is_bounded_by_the_model():
    found = need(SMALL, slots=4, context=4096, cache_mb=100)
    assert found.weights == SMALL.size_bytes
    assert found.total == found.weights + found.cache + found.work
    assert found.work - need(SMALL, slots=4, context=4096).work == 100 * MIB
    longest = need(SMALL, slots=1, context=SMALL.context)
    assert need(SMALL, slots=1, context=10 * SMALL.context) == longest
    # 24 KiB a token, in every second layer, and little in the others.
    assert longest.cache / SMALL.context == pytest.approx(24 * 1024, rel=0.01)


def test_a_model_without_windows_keeps_every_token_in_every_layer():
    plain = msgspec.structs.replace(SMALL, window=0)
    assert need(plain, slots=1, context=4096).cache == 24 * 4096 * SMALL.layer_cache_bytes


def test_what_a_gpu_of_its_own_holds_is_not_counted(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert need(SMALL, slots=8, context=4096, gpu_layers=999).weights == 0
    half = need(SMALL, slots=8, context=4096, gpu_layers=12).weights
    assert half == pytest.approx(13 / 25 * SMALL.size_bytes)
    monkeypatch.setattr("sys.platform", "darwin")  # one memory for both
    assert need(SMALL, slots=8, context=4096, gpu_layers=999).weights == SMALL.size_bytes


def test_too_little_memory_is_told_with_its_parts_and_the_fix():
    need = Need(weights=12 * GB, cache=1 * GB, work=GB // 2)
    assert shortage("m", need, need.total) is None
    assert shortage("m", need, None) is None
    assert shortage("m", need, need.total - 1) == (
        "'m' does not fit into memory: it takes about 13.5 GB (12.0 GB of weights, 1.0 GB for the "
        "context, 500.0 MB to work), and 13.5 GB are available; lower [engine] slots or context, free "
        "some memory, or try it all the same with [engine] check_memory = false"
    )


def test_this_machine_has_memory():
    found = memory.available()
    assert found is not None
    assert 0 < found < 1 << 50


def test_without_control_groups_it_is_what_the_system_has(tmp_path):
    assert memory.linux(tmp_path) is None
    machine(tmp_path, proc__meminfo=meminfo(8 * GB))
    assert memory.linux(tmp_path) == 8 * GB // 1024 * 1024


def test_a_container_is_bound_by_its_group_without_the_cached_files(tmp_path):
    machine(
        tmp_path,
        proc__meminfo=meminfo(32 * GB),
        proc__self__cgroup="0::/../../kubepods/pod1\n",
        sys__fs__cgroup__memory_dot_max=f"{4 * GB}\n",
        sys__fs__cgroup__memory_dot_current=f"{3 * GB}\n",
        sys__fs__cgroup__memory_dot_stat=f"anon 5\ninactive_file {GB}\nactive_file {GB}\n",
    )
    assert memory.linux(tmp_path) == 3 * GB


def test_the_tightest_group_above_counts(tmp_path):
    machine(
        tmp_path,
        proc__meminfo=meminfo(32 * GB),
        proc__self__cgroup="0::/user/app\n",
        sys__fs__cgroup__user__memory_dot_max=f"{2 * GB}\n",
        sys__fs__cgroup__user__memory_dot_current=f"{GB}\n",
        sys__fs__cgroup__user__app__memory_dot_max="max\n",
        sys__fs__cgroup__user__app__memory_dot_current=f"{GB}\n",
    )
    assert memory.linux(tmp_path) == GB


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    machine(
        tmp_path,
        proc__meminfo=meminfo(32 * GB),
        proc__self__cgroup="5:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/\n",
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712\n",
        sys__fs__cgroup__memory__memory_dot_usage_in_bytes="1\n",
        sys__fs__cgroup__memory__docker__1__memory_dot_limit_in_bytes=f"{5 * GB}\n",
        sys__fs__cgroup__memory__docker__1__memory_dot_usage_in_bytes=f"{6 * GB}\n",
        sys__fs__cgroup__memory__docker__1__memory_dot_stat=f"total_inactive_file {2 * GB}\n",
    )
    assert memory.linux(tmp_path) == GB


def test_the_speed_is_an_upper_bound_by_arithmetic():
    assert memory.speed(SMALL) == (
        "each token reads about 2.6 GB of weights: on a CPU roughly 19 a second at best, where memory "
        "delivers 50 GB/s"
    )


def test_what_a_running_engine_has_not_taken_yet_is_promised_to_it(tmp_path):
    need = Need(weights=12 * GB, cache=GB, work=GB)
    machine(tmp_path, proc__7__status="Name: python\nRssAnon:\t 1953125 kB\nRssFile:\t 9 kB\n")
    assert memory.promised(need, 7, tmp_path) == 12 * GB
    assert memory.promised(Need(weights=GB, cache=0, work=0), 7, tmp_path) == 0
    assert memory.promised(need, 8, tmp_path) == 0
