package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestVersion(t *testing.T) {
	n := connect(t)
	// The kubelet's client refuses an answer with an empty part.
	version, err := n.runtime.Version(t.Context(), "0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if version.GetVersion() != "0.1.0" {
		t.Errorf("the kubelet does not take a node with another version than 0.1.0, got %v", version)
	}
}

func TestStatus(t *testing.T) {
	n := connect(t)
	answer, err := n.runtime.Status(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"RuntimeReady", "NetworkReady"} {
		at := slices.IndexFunc(answer.GetStatus().GetConditions(), func(c *cri.RuntimeCondition) bool { return c.GetType() == kind })
		if at < 0 {
			t.Errorf("no condition %s", kind)
		} else if condition := answer.GetStatus().GetConditions()[at]; !condition.GetStatus() {
			t.Errorf("%s is false: %s: %s", kind, condition.GetReason(), condition.GetMessage())
		}
	}
	if len(answer.GetInfo()) != 0 {
		t.Error("info without verbose")
	}
	verbose, err := n.runtime.Status(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(verbose.GetInfo()) == 0 {
		t.Error("no info with verbose")
	}
}

func TestRuntimeConfig(t *testing.T) {
	n := connect(t)
	if _, err := n.runtime.RuntimeConfig(t.Context()); err != nil {
		t.Errorf("a kubelet of 1.37 does not start without it: %v", err)
	}
	if err := n.runtime.UpdateRuntimeConfig(t.Context(), &cri.RuntimeConfig{NetworkConfig: &cri.NetworkConfig{PodCidr: "10.244.0.0/24"}}); err != nil {
		t.Errorf("UpdateRuntimeConfig: %v", err)
	}
}

func TestImages(t *testing.T) {
	n := connect(t)
	answer, err := n.images.ImageStatus(t.Context(), &cri.ImageSpec{Image: image()}, false)
	if err != nil {
		t.Fatal(err)
	}
	found := answer.GetImage()
	if found.GetId() == "" || found.GetSize() == 0 {
		t.Fatalf("the kubelet needs an id and a size, got %v", found)
	}
	if !slices.ContainsFunc(found.GetRepoTags(), func(tag string) bool { return strings.HasSuffix(tag, "busybox:test") }) {
		t.Errorf("its own name is not among %q", found.GetRepoTags())
	}
	byID, err := n.images.ImageStatus(t.Context(), &cri.ImageSpec{Image: found.GetId()}, false)
	if err != nil || byID.GetImage().GetId() != found.GetId() {
		t.Errorf("by its id: %v, %v", byID.GetImage(), err)
	}
	list, err := n.images.ListImages(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(list, func(i *cri.Image) bool { return i.GetId() == found.GetId() }) {
		t.Error("not in the list")
	}
	filtered, err := n.images.ListImages(t.Context(), &cri.ImageFilter{Image: &cri.ImageSpec{Image: image()}})
	if err != nil || len(filtered) != 1 || filtered[0].GetId() != found.GetId() {
		t.Errorf("list by name: %v, %v", filtered, err)
	}
	absent, err := n.images.ImageStatus(t.Context(), &cri.ImageSpec{Image: "interop.invalid/no/such:image"}, false)
	if err != nil || absent.GetImage() != nil {
		t.Errorf("an absent image is no error and no image, got %v, %v", absent.GetImage(), err)
	}
	if err := n.images.RemoveImage(t.Context(), &cri.ImageSpec{Image: "interop.invalid/no/such:image"}); err != nil {
		t.Errorf("removal of an absent image: %v", err)
	}
}

func TestImageFsInfo(t *testing.T) {
	n := connect(t)
	eventually(t, 30*time.Second, "the image file system is measured", func() bool {
		answer, err := n.images.ImageFsInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		usage := answer.GetImageFilesystems()
		if len(usage) == 0 || usage[0].GetFsId().GetMountpoint() == "" || usage[0].GetTimestamp() <= 0 {
			t.Fatalf("the kubelet does not start with %v", usage)
		}
		return usage[0].GetUsedBytes().GetValue() > 0
	})
}

func TestUnknownObjects(t *testing.T) {
	n := connect(t)
	const absent = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	_, err := n.runtime.PodSandboxStatus(t.Context(), absent, false)
	wantCode(t, "PodSandboxStatus", err, codes.NotFound)
	_, err = n.runtime.ContainerStatus(t.Context(), absent, false)
	wantCode(t, "ContainerStatus", err, codes.NotFound)
	wantCode(t, "StartContainer", n.runtime.StartContainer(t.Context(), absent), codes.NotFound)
	_, err = n.raw.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: absent, Cmd: []string{"true"}})
	wantCode(t, "ExecSync", err, codes.NotFound)
	for what, err := range map[string]error{
		"StopContainer":    n.runtime.StopContainer(t.Context(), absent, 1),
		"RemoveContainer":  n.runtime.RemoveContainer(t.Context(), absent),
		"StopPodSandbox":   n.runtime.StopPodSandbox(t.Context(), absent),
		"RemovePodSandbox": n.runtime.RemovePodSandbox(t.Context(), absent),
	} {
		if err != nil {
			t.Errorf("%s of something unknown is success, got %v", what, err)
		}
	}
}
