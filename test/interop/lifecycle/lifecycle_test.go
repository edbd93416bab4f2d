package lifecycle

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"
)

func TestPodLifecycleOnHostNetwork(t *testing.T) { podLifecycle(t, cri.NamespaceMode_NODE) }

func TestPodLifecycleOnPodNetwork(t *testing.T) { podLifecycle(t, cri.NamespaceMode_POD) }

// podLifecycle is one pod's life from its first call to its last, in the order in which the kubelet makes them.
func podLifecycle(t *testing.T, network cri.NamespaceMode) {
	n := connect(t)
	before := time.Now()
	addressesBefore := reservedAddresses(t)
	pod := podConfig(t, network)
	podID := n.runPod(t, pod)

	again, err := n.runtime.RunPodSandbox(t.Context(), pod, "")
	if err != nil || again != podID {
		t.Errorf("asked for again, as after a lost answer, it is the same pod: %s in place of %s, %v", again, podID, err)
	}

	podAddress := checkPod(t, n, podID, pod, network, before)

	volume := t.TempDir()
	if err := os.WriteFile(filepath.Join(volume, "given"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	config := containerConfig("main", pod, "/bin/sh", "-c", `trap "exit 42" TERM; echo up; while true; do sleep 0.1; done`)
	config.Mounts = []*cri.Mount{{ContainerPath: "/given", HostPath: volume}}
	if err := os.MkdirAll(filepath.Join(pod.GetLogDirectory(), "main"), 0o755); err != nil {
		t.Fatal(err)
	}
	id, err := n.runtime.CreateContainer(t.Context(), podID, config, pod)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := n.runtime.CreateContainer(t.Context(), podID, config, pod); err != nil || again != id {
		t.Errorf("asked for again, it is the same container: %s in place of %s, %v", again, id, err)
	}
	created := n.containerStatus(t, id)
	if created.GetState() != cri.ContainerState_CONTAINER_CREATED || created.GetStartedAt() != 0 || created.GetFinishedAt() != 0 {
		t.Errorf("before its start: %v", created)
	}
	if err := n.runtime.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	checkRunning(t, n, id, podID, config, pod)
	checkExec(t, n, id)
	if network == cri.NamespaceMode_POD {
		checkPodNetwork(t, n, id, podAddress)
	}
	checkUpdate(t, n, id)

	if err := n.runtime.StopContainer(t.Context(), id, 10); err != nil {
		t.Fatal(err)
	}
	ended := n.containerStatus(t, id)
	if ended.GetState() != cri.ContainerState_CONTAINER_EXITED || ended.GetExitCode() != 42 || ended.GetReason() != "Error" {
		t.Errorf("after the stop signal it leaves by itself with 42: %v", ended)
	}
	if ended.GetFinishedAt() < ended.GetStartedAt() || ended.GetFinishedAt() > time.Now().UnixNano() {
		t.Errorf("started %d, finished %d", ended.GetStartedAt(), ended.GetFinishedAt())
	}
	if err := n.runtime.StopContainer(t.Context(), id, 10); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
	for range 2 {
		if err := n.runtime.RemoveContainer(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	_, err = n.runtime.ContainerStatus(t.Context(), id, false)
	wantCode(t, "status of a removed container", err, codes.NotFound)

	for range 2 {
		if err := n.runtime.StopPodSandbox(t.Context(), podID); err != nil {
			t.Fatal(err)
		}
	}
	stopped, err := n.runtime.PodSandboxStatus(t.Context(), podID, false)
	if err != nil || stopped.GetStatus().GetState() != cri.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("a stopped pod: %v, %v", stopped, err)
	}
	for range 2 {
		if err := n.runtime.RemovePodSandbox(t.Context(), podID); err != nil {
			t.Fatal(err)
		}
	}
	_, err = n.runtime.PodSandboxStatus(t.Context(), podID, false)
	wantCode(t, "status of a removed pod", err, codes.NotFound)
	if after := reservedAddresses(t); !maps.Equal(addressesBefore, after) {
		t.Errorf("addresses before %v, after %v", addressesBefore, after)
	}
}

func checkPod(t *testing.T, n *node, podID string, pod *cri.PodSandboxConfig, network cri.NamespaceMode, before time.Time) string {
	t.Helper()
	answer, err := n.runtime.PodSandboxStatus(t.Context(), podID, true)
	if err != nil {
		t.Fatal(err)
	}
	status := answer.GetStatus()
	if status.GetId() != podID || status.GetState() != cri.PodSandboxState_SANDBOX_READY || !proto.Equal(status.GetMetadata(), pod.GetMetadata()) {
		t.Errorf("not the pod that was asked for: %v", status)
	}
	if !maps.Equal(status.GetLabels(), pod.GetLabels()) || !maps.Equal(status.GetAnnotations(), pod.GetAnnotations()) {
		t.Errorf("labels %q, annotations %q", status.GetLabels(), status.GetAnnotations())
	}
	if created := time.Unix(0, status.GetCreatedAt()); created.Before(before.Add(-time.Second)) || created.After(time.Now()) {
		t.Errorf("created at %s", created)
	}
	if mode := status.GetLinux().GetNamespaces().GetOptions().GetNetwork(); mode != network {
		t.Errorf("the kubelet would make the pod again: network %s in place of %s", mode, network)
	}
	if len(answer.GetInfo()) == 0 {
		t.Error("no info with verbose")
	}
	address := status.GetNetwork().GetIp()
	if network == cri.NamespaceMode_POD {
		if _, err := netip.ParseAddr(address); err != nil {
			t.Errorf("the pod's address: %v", err)
		}
	} else if address != "" {
		t.Errorf("a pod on the host's network has no address of its own, got %s", address)
	}
	for what, filter := range map[string]*cri.PodSandboxFilter{
		"its id":     {Id: podID},
		"id prefix":  {Id: podID[:12]},
		"its labels": {LabelSelector: map[string]string{"io.kubernetes.pod.name": pod.GetMetadata().GetName(), "empty": ""}},
		"all of it": {Id: podID, State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
			LabelSelector: map[string]string{"__proto__": "polluted"}},
	} {
		list, err := n.runtime.ListPodSandbox(t.Context(), filter)
		if err != nil || len(list) != 1 || list[0].GetId() != podID {
			t.Errorf("list by %s: %v, %v", what, list, err)
		} else if list[0].GetCreatedAt() != status.GetCreatedAt() || !maps.Equal(list[0].GetAnnotations(), status.GetAnnotations()) {
			t.Errorf("list and status differ: %v and %v", list[0], status)
		}
	}
	for what, filter := range map[string]*cri.PodSandboxFilter{
		"another label": {Id: podID, LabelSelector: map[string]string{"empty": "not"}},
		"another state": {Id: podID, State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_NOTREADY}},
	} {
		if list, err := n.runtime.ListPodSandbox(t.Context(), filter); err != nil || len(list) != 0 {
			t.Errorf("list by %s: %v, %v", what, list, err)
		}
	}
	return address
}

func checkRunning(t *testing.T, n *node, id, podID string, config *cri.ContainerConfig, pod *cri.PodSandboxConfig) {
	t.Helper()
	status := n.containerStatus(t, id)
	if status.GetState() != cri.ContainerState_CONTAINER_RUNNING || status.GetStartedAt() < status.GetCreatedAt() || status.GetFinishedAt() != 0 {
		t.Errorf("not running: %v", status)
	}
	if !proto.Equal(status.GetMetadata(), config.GetMetadata()) || !maps.Equal(status.GetLabels(), config.GetLabels()) ||
		!maps.Equal(status.GetAnnotations(), config.GetAnnotations()) {
		t.Errorf("not the container that was asked for: %v", status)
	}
	if want := filepath.Join(pod.GetLogDirectory(), config.GetLogPath()); status.GetLogPath() != want {
		t.Errorf("log path %s in place of %s", status.GetLogPath(), want)
	}
	if len(status.GetMounts()) != 1 || status.GetMounts()[0].GetHostPath() != config.GetMounts()[0].GetHostPath() {
		t.Errorf("the kubelet looks for the termination message among the mounts: %v", status.GetMounts())
	}
	image, err := n.images.ImageStatus(t.Context(), &cri.ImageSpec{Image: status.GetImageId()}, false)
	if err != nil || status.GetImageId() == "" || image.GetImage().GetId() != status.GetImageId() {
		t.Errorf("its image %q is not there: %v", status.GetImageId(), err)
	}
	list, err := n.runtime.ListContainers(t.Context(), &cri.ContainerFilter{PodSandboxId: podID,
		State:         &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
		LabelSelector: map[string]string{"io.kubernetes.container.name": "main"}})
	if err != nil || len(list) != 1 || list[0].GetId() != id || list[0].GetPodSandboxId() != podID {
		t.Errorf("list: %v, %v", list, err)
	} else if list[0].GetCreatedAt() != status.GetCreatedAt() || list[0].GetImageRef() != status.GetImageRef() {
		t.Errorf("list and status differ: %v and %v", list[0], status)
	}
}

func checkExec(t *testing.T, n *node, id string) {
	t.Helper()
	stdout, stderr, err := n.runtime.ExecSync(t.Context(), id, []string{"/bin/sh", "-c", `echo "$GREETING"; pwd; cat /given/given; echo oops >&2`}, 10*time.Second)
	if err != nil || string(stdout) != "hello world=ü\n/tmp\nfrom the host" || string(stderr) != "oops\n" {
		t.Errorf("exec: %q, %q, %v", stdout, stderr, err)
	}
	_, _, err = n.runtime.ExecSync(t.Context(), id, []string{"/bin/sh", "-c", "exit 3"}, 10*time.Second)
	var exit utilexec.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("exit code 3: %v", err)
	}
	began := time.Now()
	_, _, err = n.runtime.ExecSync(t.Context(), id, []string{"/bin/sh", "-c", "sleep 61.5; true"}, time.Second)
	if !errors.Is(err, criclient.ErrCommandTimedOut) {
		t.Errorf("a probe that takes too long is told by its code: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a timeout of one second took %s", took)
	}
	var processes []byte
	defer func() {
		if t.Failed() {
			t.Logf("processes: %s", processes)
		}
	}()
	eventually(t, 30*time.Second, "the command that timed out is gone", func() bool {
		var err error
		if processes, _, err = n.runtime.ExecSync(t.Context(), id, []string{"/bin/ps", "-o", "pid,args"}, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(string(processes), "61.5")
	})
}

func checkPodNetwork(t *testing.T, n *node, id, address string) {
	t.Helper()
	stdout, _, err := n.runtime.ExecSync(t.Context(), id, []string{"/bin/sh", "-c", "hostname; ip -o -4 addr show eth0; cat /etc/resolv.conf"}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"interop-host\n", " " + address + "/", "nameserver 192.0.2.53\n", "search interop.example\n", "options ndots:3\n"} {
		if !strings.Contains(string(stdout), part) {
			t.Errorf("no %q in %q", part, stdout)
		}
	}
}

func checkUpdate(t *testing.T, n *node, id string) {
	t.Helper()
	const limit = 96 << 20
	if err := n.runtime.UpdateContainerResources(t.Context(), id, &cri.ContainerResources{Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: limit, CpuQuota: 70000}}); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := n.runtime.ExecSync(t.Context(), id, []string{"/bin/sh", "-c",
		"cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"}, 10*time.Second)
	if err != nil || strings.TrimSpace(string(stdout)) != fmt.Sprint(limit) {
		t.Errorf("inside, the limit is %q, %v", stdout, err)
	}
	if got := n.containerStatus(t, id).GetResources().GetLinux(); got.GetMemoryLimitInBytes() != limit ||
		got.GetCpuQuota() != 70000 || got.GetCpuShares() != 512 {
		t.Errorf("the kubelet reads a resize back from the status: %v", got)
	}
}

// reservedAddresses are the files that host-local keeps for each address in use, where the runner told the folder.
func reservedAddresses(t *testing.T) map[string]bool {
	t.Helper()
	folder := os.Getenv("DOCKLINE_TEST_CNI_DATA")
	found := map[string]bool{}
	if folder == "" {
		return found
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := netip.ParseAddr(filepath.Base(file)); err == nil {
			found[file] = true
		}
	}
	return found
}
