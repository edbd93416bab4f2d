package descriptor

import (
	"strings"
	"testing"

	nri "github.com/containerd/nri/pkg/api"
)

// The plugins' interface (NRI) is compared in the same way as the CRI.
func TestOurPluginInterfaceIsTheirs(t *testing.T) {
	ours, err := factsOfFile(ownSet(t), "nri/v1alpha1/api.proto")
	if err != nil {
		t.Fatal(err)
	}
	theirs := FactsOf(nri.File_pkg_api_api_proto)
	for kind, least := range map[string]int{"service": 3, "method": 20, "message": 80, "field": 280, "enum": 9, "value": 80} {
		count := 0
		for name := range theirs {
			if strings.HasPrefix(name, kind+" ") {
				count++
			}
		}
		t.Logf("%d × %s", count, kind)
		if count < least {
			t.Errorf("the module declares only %d × %s", count, kind)
		}
	}
	for _, line := range Difference(ours, theirs) {
		t.Error(line)
	}
}
