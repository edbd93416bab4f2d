package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const callLimit = 2 * time.Minute

// runtime is a CRI endpoint.
type runtime struct {
	conn    *grpc.ClientConn
	service cri.RuntimeServiceClient
	images  cri.ImageServiceClient
	mu      sync.Mutex
	configs map[string]*cri.PodSandboxConfig
}

var targets = map[string]target{}

func targetOf(endpoint string) (target, error) {
	if found := targets[endpoint]; found != nil {
		return found, nil
	}
	if path, ok := strings.CutPrefix(endpoint, "docker://"); ok {
		targets[endpoint] = newEngine(path)
		return targets[endpoint], nil
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return nil, err
	}
	made := &runtime{
		conn:    conn,
		service: cri.NewRuntimeServiceClient(conn),
		images:  cri.NewImageServiceClient(conn),
		configs: map[string]*cri.PodSandboxConfig{},
	}
	targets[endpoint] = made
	return made, nil
}

func (n *runtime) call(method, id string) (int, int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	switch method {
	case "Version":
		return answerOf(1)(n.service.Version(ctx, &cri.VersionRequest{}))
	case "Status":
		return answerOf(1)(n.service.Status(ctx, &cri.StatusRequest{}))
	case "ListContainers":
		answer, err := n.service.ListContainers(ctx, &cri.ListContainersRequest{})
		return len(answer.GetContainers()), size(answer), err
	case "ListPodSandbox":
		answer, err := n.service.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
		return len(answer.GetItems()), size(answer), err
	case "ContainerStatus":
		answer, err := n.service.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
		return 1, size(answer), err
	case "PodSandboxStatus":
		answer, err := n.service.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
		return 1, size(answer), err
	case "ListContainerStats":
		answer, err := n.service.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
		return len(answer.GetStats()), size(answer), err
	case "ListPodSandboxStats":
		answer, err := n.service.ListPodSandboxStats(ctx, &cri.ListPodSandboxStatsRequest{})
		return len(answer.GetStats()), size(answer), err
	case "ListImages":
		answer, err := n.images.ListImages(ctx, &cri.ListImagesRequest{})
		return len(answer.GetImages()), size(answer), err
	case "ImageFsInfo":
		return answerOf(1)(n.images.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{}))
	}
	return 0, 0, fmt.Errorf("unknown method %s", method)
}

func size(message proto.Message) int { return proto.Size(message) }

func answerOf(items int) func(proto.Message, error) (int, int, error) {
	return func(message proto.Message, err error) (int, int, error) { return items, size(message), err }
}

func (n *runtime) runPod(r *request, number int, t *times) (pod, error) {
	config := sandboxConfig(r, number)
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		return pod{}, err
	}
	made := pod{}
	if err := t.measure("RunPodSandbox", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		answer, err := n.service.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
		made.Sandbox = answer.GetPodSandboxId()
		return err
	}); err != nil {
		return made, err
	}
	n.mu.Lock()
	n.configs[made.Sandbox] = config
	n.mu.Unlock()
	id, err := n.createContainer(r, made.Sandbox, number, t)
	if err != nil {
		return made, err
	}
	made.Containers = []string{id}
	return made, t.measure("StartContainer", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		_, err := n.service.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id})
		return err
	})
}

func (n *runtime) createContainer(r *request, sandbox string, number int, t *times) (string, error) {
	n.mu.Lock()
	config := n.configs[sandbox]
	n.mu.Unlock()
	if config == nil {
		return "", fmt.Errorf("sandbox %s was not made here", sandbox)
	}
	id := ""
	err := t.measure("CreateContainer", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		answer, err := n.service.CreateContainer(ctx, &cri.CreateContainerRequest{
			PodSandboxId: sandbox, Config: containerConfig(r, number), SandboxConfig: config})
		id = answer.GetContainerId()
		return err
	})
	return id, err
}

func (n *runtime) stopPod(r *request, id string, t *times) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	list, err := n.service.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{PodSandboxId: id}})
	if err != nil {
		return err
	}
	for _, container := range list.GetContainers() {
		if err := t.measure("StopContainer", func() error {
			_, err := n.service.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: container.Id, Timeout: 10})
			return err
		}); err != nil {
			return err
		}
		if err := t.measure("RemoveContainer", func() error {
			_, err := n.service.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: container.Id})
			return err
		}); err != nil {
			return err
		}
	}
	if err := t.measure("StopPodSandbox", func() error {
		_, err := n.service.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
		return err
	}); err != nil {
		return err
	}
	return t.measure("RemovePodSandbox", func() error {
		_, err := n.service.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
		return err
	})
}

func (n *runtime) pods() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	list, err := n.service.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{
		Filter: &cri.PodSandboxFilter{LabelSelector: map[string]string{"app": "bench"}}})
	var ids []string
	for _, item := range list.GetItems() {
		ids = append(ids, item.Id)
	}
	return ids, err
}

func (n *runtime) exec(r *request, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	answer, err := n.service.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}, Timeout: 30})
	if err == nil && answer.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", answer.ExitCode)
	}
	return err
}

func sandboxConfig(r *request, number int) *cri.PodSandboxConfig {
	name := fmt.Sprintf("bench-%d", number)
	uid := fmt.Sprintf("bench%d-%d", os.Getpid(), number)
	network := cri.NamespaceMode_POD
	if r.HostNetwork {
		network = cri.NamespaceMode_NODE
	}
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: "bench", Uid: uid},
		LogDirectory: filepath.Join(r.LogDir, uid),
		Labels: map[string]string{"app": "bench", "io.kubernetes.pod.name": name,
			"io.kubernetes.pod.namespace": "bench", "io.kubernetes.pod.uid": uid},
		Annotations: map[string]string{"kubernetes.io/config.source": "api", "kubernetes.io/config.seen": "2026-01-01T00:00:00Z"},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: cgroupParent(r, uid), SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: network, Pid: cri.NamespaceMode_CONTAINER}}},
	}
}

// cgroupParent is the pod's own cgroup, as a kubelet with the cgroupfs driver names it; without one a peer has no figures of pods.
func cgroupParent(r *request, uid string) string {
	if r.CgroupRoot == "" {
		return ""
	}
	return r.CgroupRoot + "/pod" + uid
}

func containerConfig(r *request, number int) *cri.ContainerConfig {
	name := fmt.Sprintf("main-%d", number)
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: r.Image},
		Command:  r.Command,
		LogPath:  name + "_0.log",
		Labels: map[string]string{"io.kubernetes.container.name": name, "io.kubernetes.pod.namespace": "bench",
			"io.kubernetes.pod.name": "bench", "io.kubernetes.pod.uid": "bench"},
		Annotations: map[string]string{"io.kubernetes.container.hash": "6c4d7a6b", "io.kubernetes.container.restartCount": "0",
			"io.kubernetes.container.terminationMessagePath": "/dev/termination-log", "io.kubernetes.pod.terminationGracePeriod": "30"},
		Linux: &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{CpuShares: 102},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}},
	}
}

// untilListed polls a runtime that is being started until it lists r.Count containers.
func untilListed(r *request, result *answer) error {
	end := time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		delete(targets, r.Endpoint)
		if _, err := os.Stat(strings.TrimPrefix(r.Endpoint, "unix://")); err == nil {
			made, err := targetOf(r.Endpoint)
			if err != nil {
				return err
			}
			for time.Now().Before(end) {
				items, bytes, err := made.call("ListContainers", "")
				if err == nil && items == r.Count {
					result.Items, result.Bytes = items, bytes
					return nil
				}
				if err != nil {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			_ = made.(*runtime).conn.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%d containers were not listed within a minute", r.Count)
}
