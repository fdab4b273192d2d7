"""Container, pod and Slurm job, by the names that their programs give control groups."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.adapters.decode_processes import _CONTAINER, _SLURM_JOB
from gpualloc.node.attribution import Pods, container, pod, slurm_job, slurm_job_told

_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ID = "0123456789abcdef" * 4
OTHER = "f" * 64
SHORT = "0123456789ab"
UID = "6e4d34d5-1c2b-4a3f-9d8e-0123456789ab"
SLICE = UID.replace("-", "_")
STATIC = "a" * 32


def v1(path):
    names = ("name=systemd", "pids", "cpu,cpuacct", "devices", "memory")
    return "".join(f"{13 - index}:{name}:{path}\n" for index, name in enumerate(names))


def v2(path):
    return f"0::{path}\n"


CONTAINERS = [
    v1(f"/docker/{ID}"),
    v2(f"/system.slice/docker-{ID}.scope"),
    v2(f"/system.slice/docker-{ID}.scope/init"),
    v2(f"/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"),
    v2(f"/system.slice/nerdctl-{ID}.scope"),
    v1(f"/default/{ID}"),
    v1(f"/ecs/0123/{ID}"),
    v2(f"/machine.slice/libpod-{ID}.scope/container"),
    v1(f"/libpod_parent/libpod-{ID}"),
    v2(f"/system.slice/nginx.service/libpod-payload-{ID}"),
    v2(f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"),
    v2(f"/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope"),
    v1(f"/kubepods/besteffort/pod{UID}/{ID}"),
    v1(f"/kubepods/pod{UID}/{ID}"),
    v2(f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/cri-containerd-{ID}.scope"),
    v2(f"/kubepods.slice/kubepods-pod{SLICE}.slice/crio-{ID}.scope/container"),
    v1(f"/system.slice/containerd.service/kubepods-burstable-pod{SLICE}.slice:cri-containerd:{ID}"),
    # A container that was started in another one is the process's own.
    v1(f"/kubepods/burstable/pod{UID}/{OTHER}/docker/{ID}"),
    "0::/user.slice\n1:name=systemd:/docker/" + ID + "\n",
]

PODS = [
    (v1(f"/kubepods/besteffort/pod{UID}/{ID}"), UID),
    (v1(f"/kubepods/pod{UID}/{ID}"), UID),
    (v2(f"/kubepods.slice/kubepods-pod{SLICE}.slice/crio-{ID}.scope"), UID),
    (v2(f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/docker-{ID}.scope"), UID),
    (v2(f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable-pod{SLICE}.slice/cri-containerd-{ID}"), UID),
    (v1(f"/system.slice/containerd.service/kubepods-burstable-pod{SLICE}.slice:cri-containerd:{ID}"), UID),
    (v1(f"/kubepods/burstable/pod{STATIC}/{ID}"), STATIC),
]

JOBS = [
    (v1("/slurm/uid_1001/job_123/step_0/task_0"), "123.0"),
    (v1("/slurm_node7/uid_0/job_123/step_batch"), "123.batch"),
    (v1("/slurm/uid_1001/job_123"), "123"),
    (v2("/system.slice/slurmstepd.scope/job_1392969/step_batch/user/task_0"), "1392969.batch"),
    (v2("/system.slice/node7_slurmstepd.scope/job_5/step_extern/user/task_special"), "5.extern"),
    (v2("/system.slice/slurmstepd.scope/job_7"), "7"),
]

STRANGERS = [
    "",
    "0::/\n",
    v1("/"),
    v2("/user.slice/user-1000.slice/session-3.scope"),
    v2("/system.slice/slurmstepd.scope/system"),
    v2("/system.slice/slurmstepd.scope/job_١٧"),
    v2("/system.slice/docker.service"),
    v2("/gpualloc/w00000001"),
    v2(f"/system.slice/libpod-conmon-{ID}.scope"),
    v2(f"/machine.slice/crio-conmon-{ID}.scope"),
    v2("/lxc.monitor.web"),
    v2(f"/system.slice/pod{UID}.slice"),
]


@pytest.mark.parametrize("groups", CONTAINERS)
def test_the_container_of_each_runtime(groups):
    assert container(groups) == SHORT


@pytest.mark.parametrize(
    ("path", "name"),
    [("/lxc/101/ns/system.slice", "101"), ("/lxc.payload.web-1/init.scope", "web-1"), ("/lxc.payload/web", "web")],
)
def test_an_lxc_container_has_a_name(path, name):
    assert container(v1(path)) == container(v2(path)) == name


@pytest.mark.parametrize(("groups", "uid"), PODS)
def test_the_pod_as_the_kubelet_groups_it(groups, uid):
    assert pod(groups) == uid
    assert container(groups) == SHORT


@pytest.mark.parametrize(("groups", "job"), JOBS)
def test_the_job_as_slurm_groups_it(groups, job):
    assert slurm_job(groups) == job
    assert (container(groups), pod(groups)) == (None, None)


@pytest.mark.parametrize("groups", STRANGERS)
def test_who_is_in_none_of_these(groups):
    assert (container(groups), pod(groups), slurm_job(groups)) == (None, None, None)


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "2"}, "17.2"),
        ({"SLURM_JOB_ID": "17", "SLURM_STEPID": "4294967291"}, "17.batch"),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "x; rm"}, "17"),
        ({"SLURM_JOB_ID": "17"}, "17"),
        ({"SLURM_JOB_ID": "seventeen"}, None),
        ({"SLURM_JOB_ID": "1" * 40}, None),
        ({"SLURM_JOB_ID": "١٧"}, None),
        ({"SLURM_STEP_ID": "2"}, None),
        ({}, None),
    ],
)
def test_the_job_that_an_environment_tells_of(environment, job):
    assert slurm_job_told(environment) == job


_PIECES = st.sampled_from(
    ["/", ":", "0::", "docker-", ID, ".scope", "kubepods", "-pod", SLICE, UID, ".slice", "/slurm", "/uid_1", "/job_7"]
)
_MORE = st.sampled_from(["slurmstepd.scope", "/step_", "0", "١", "/lxc/", "/lxc.payload.", "name-1", "conmon-", "\n"])


@_UNHURRIED
@given(st.lists(st.one_of(_PIECES, _MORE, st.text(max_size=8)), max_size=30).map("".join))
def test_whatever_a_group_is_called_the_head_can_read_what_is_told(groups):
    for told, shape in ((container(groups), _CONTAINER), (slurm_job(groups), _SLURM_JOB)):
        assert told is None or shape.fullmatch(told)
    assert pod(groups) is None or len(pod(groups)) in (32, 36)


def test_pods_have_names_where_the_kubelet_keeps_their_logs(tmp_path):
    pods = Pods(str(tmp_path))
    (tmp_path / f"team-a_trainer-0_{UID}").mkdir()
    (tmp_path / f"kube-system_proxy-node7_{STATIC}").mkdir()
    (tmp_path / "not of this form").mkdir()
    assert pods.name(UID) == "team-a/trainer-0"
    assert pods.name(STATIC) == "kube-system/proxy-node7"
    assert pods.name("another") == "another"


def test_without_that_folder_a_pod_is_called_by_its_uid(tmp_path):
    assert Pods(str(tmp_path / "none")).name(UID) == UID
