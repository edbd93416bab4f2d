package lifecycle

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const busyLoop = `i=0; while true; do i=$((i+1)); [ $((i % 2000)) = 0 ] && sleep 0.01; done`

func TestStats(t *testing.T) {
	n := connect(t)
	if _, err := n.raw.ListContainerStats(t.Context(), &cri.ListContainerStatsRequest{}); unimplemented(err) {
		t.Skip("the runtime has no stats yet")
	}
	pod := podConfig(t, cri.NamespaceMode_POD)
	podID := n.runPod(t, pod)
	id := n.startContainer(t, podID, containerConfig("busy", pod, "/bin/sh", "-c", busyLoop), pod)
	eventually(t, 30*time.Second, "CPU time is counted", func() bool {
		one, err := n.runtime.ContainerStats(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return one.GetCpu().GetUsageCoreNanoSeconds().GetValue() > uint64(100*time.Millisecond) && one.GetMemory().GetWorkingSetBytes().GetValue() > 0
	})
	list, err := n.runtime.ListContainerStats(t.Context(), &cri.ContainerStatsFilter{PodSandboxId: podID})
	if err != nil || len(list) != 1 || list[0].GetAttributes().GetId() != id {
		t.Fatalf("list: %v, %v", list, err)
	}
	if list[0].GetCpu().GetTimestamp() <= 0 || list[0].GetMemory().GetWorkingSetBytes().GetValue() > 64<<20 {
		t.Errorf("beyond what is possible: %v", list[0])
	}
	whole, err := n.runtime.PodSandboxStats(t.Context(), podID)
	if unimplemented(err) {
		t.Skip("the runtime has no pod stats yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	linux := whole.GetLinux()
	if linux.GetNetwork().GetDefaultInterface().GetName() != "eth0" || linux.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 ||
		!slices.ContainsFunc(linux.GetContainers(), func(c *cri.ContainerStats) bool { return c.GetAttributes().GetId() == id }) {
		t.Errorf("the pod: %v", linux)
	}
	_, err = n.raw.ContainerStats(t.Context(), &cri.ContainerStatsRequest{ContainerId: "absent"})
	wantCode(t, "stats of something unknown", err, codes.NotFound)
}

func TestMetrics(t *testing.T) {
	n := connect(t)
	descriptors, err := n.runtime.ListMetricDescriptors(t.Context())
	if unimplemented(err) {
		t.Skip("the runtime has no metrics yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]int{}
	for _, d := range descriptors {
		labels[d.GetName()] = len(d.GetLabelKeys())
	}
	pod := podConfig(t, cri.NamespaceMode_NODE)
	podID := n.runPod(t, pod)
	n.startContainer(t, podID, containerConfig("busy", pod, "/bin/sh", "-c", busyLoop), pod)
	eventually(t, 30*time.Second, "the pod has series", func() bool {
		pods, err := n.runtime.ListPodSandboxMetrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(pods, func(p *cri.PodSandboxMetrics) bool { return p.GetPodSandboxId() == podID })
		if at < 0 || len(pods[at].GetContainerMetrics()) == 0 {
			return false
		}
		for _, container := range pods[at].GetContainerMetrics() {
			for _, metric := range container.GetMetrics() {
				if count, known := labels[metric.GetName()]; !known || count != len(metric.GetLabelValues()) {
					t.Errorf("%s is not as described: %v", metric.GetName(), metric)
				}
			}
		}
		return true
	})
}

func TestContainerEvents(t *testing.T) {
	n := connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events := make(chan *cri.ContainerEventResponse, 1000)
	ended := make(chan error, 1)
	open := make(chan struct{})
	go func() {
		ended <- n.runtime.GetContainerEvents(ctx, events, func(cri.RuntimeService_GetContainerEventsClient) { close(open) })
	}()
	select {
	case <-open:
	case err := <-ended:
		if unimplemented(err) {
			t.Skip("the runtime has no events yet")
		}
		t.Fatal(err)
	case <-ctx.Done():
		t.Fatal("the stream does not open")
	}
	select {
	case err := <-ended:
		if unimplemented(err) {
			t.Skip("the runtime has no events yet")
		}
		t.Fatal(err)
	case <-time.After(500 * time.Millisecond):
	}
	pod := podConfig(t, cri.NamespaceMode_NODE)
	podID := n.runPod(t, pod)
	id := n.startContainer(t, podID, containerConfig("short", pod, "/bin/sh", "-c", "exit 5"), pod)
	n.waitExited(t, id)
	if err := n.runtime.RemoveContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, want := range []cri.ContainerEventType{cri.ContainerEventType_CONTAINER_CREATED_EVENT, cri.ContainerEventType_CONTAINER_STARTED_EVENT,
		cri.ContainerEventType_CONTAINER_STOPPED_EVENT, cri.ContainerEventType_CONTAINER_DELETED_EVENT} {
		event := nextOf(t, ctx, events, ended, id)
		if event.GetContainerEventType() != want {
			t.Fatalf("%s where %s was due", event.GetContainerEventType(), want)
		}
		if event.GetPodSandboxStatus().GetMetadata().GetUid() != pod.GetMetadata().GetUid() || event.GetCreatedAt() <= 0 {
			t.Errorf("the kubelet drops %v", event)
		}
		at := slices.IndexFunc(event.GetContainersStatuses(), func(s *cri.ContainerStatus) bool { return s.GetId() == id })
		if want == cri.ContainerEventType_CONTAINER_STOPPED_EVENT && (at < 0 || event.GetContainersStatuses()[at].GetExitCode() != 5) {
			t.Errorf("the end without its exit code: %v", event)
		}
	}
}

func nextOf(t *testing.T, ctx context.Context, events <-chan *cri.ContainerEventResponse, ended <-chan error, id string) *cri.ContainerEventResponse {
	t.Helper()
	for {
		select {
		case event := <-events:
			if event.GetContainerId() == id {
				return event
			}
		case err := <-ended:
			t.Fatalf("the stream ended: %v", status.Convert(err))
		case <-ctx.Done():
			t.Fatal("no further event")
		}
	}
}

// A kubelet with CRIListStreaming gets the same lists; its client falls back where the streams are not there.
func TestListsInPieces(t *testing.T) {
	whole, pieces := connect(t), connectWith(t, true)
	pod := podConfig(t, cri.NamespaceMode_NODE)
	podID := whole.runPod(t, pod)
	id := whole.startContainer(t, podID, containerConfig("idle", pod, "/bin/sleep", "1000"), pod)
	pods, err := pieces.runtime.ListPodSandbox(t.Context(), &cri.PodSandboxFilter{Id: podID})
	if err != nil || len(pods) != 1 || pods[0].GetId() != podID {
		t.Errorf("pods: %v, %v", pods, err)
	}
	containers, err := pieces.runtime.ListContainers(t.Context(), &cri.ContainerFilter{PodSandboxId: podID})
	if err != nil || len(containers) != 1 || containers[0].GetId() != id {
		t.Errorf("containers: %v, %v", containers, err)
	}
	want, err := whole.images.ListImages(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pieces.images.ListImages(t.Context(), nil)
	if err != nil || len(got) != len(want) {
		t.Errorf("%d images in place of %d, %v", len(got), len(want), err)
	}
}
