package descriptor

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const ownFile = "runtime/v1/api.proto"

// ownSet is the file that `buf build --as-file-descriptor-set` wrote of proto/.
func ownSet(t *testing.T) *descriptorpb.FileDescriptorSet {
	t.Helper()
	path := os.Getenv("DOCKLINE_DESCRIPTOR_SET")
	if path == "" {
		t.Fatal("DOCKLINE_DESCRIPTOR_SET does not name the compiled descriptor set of proto/ (scripts/test-interop makes it)")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		t.Fatal(err)
	}
	return set
}

func factsOfSet(set *descriptorpb.FileDescriptorSet) (Facts, error) {
	return factsOfFile(set, ownFile)
}

func factsOfFile(set *descriptorpb.FileDescriptorSet, path string) (Facts, error) {
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	file, err := files.FindFileByPath(path)
	if err != nil {
		return nil, err
	}
	return FactsOf(file), nil
}

func theirFacts() Facts {
	return FactsOf(cri.File_staging_src_k8s_io_cri_api_pkg_apis_runtime_v1_api_proto)
}

func TestOurDefinitionIsTheirs(t *testing.T) {
	ours, err := factsOfSet(ownSet(t))
	if err != nil {
		t.Fatal(err)
	}
	theirs := theirFacts()
	// Numbers that a CRI of this age exceeds by far: an empty descriptor must not pass as an equal one.
	for kind, least := range map[string]int{"service": 2, "method": 40, "message": 150, "field": 500, "enum": 10, "value": 90} {
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

// A comparison that cannot fail proves nothing: each mutation of our own definition has to be named by it.
func TestEveryKindOfDifferenceIsFound(t *testing.T) {
	message := func(file *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
		for _, m := range file.MessageType {
			if m.GetName() == name {
				return m
			}
		}
		t.Fatalf("no message %s", name)
		return nil
	}
	field := func(file *descriptorpb.FileDescriptorProto, of, name string) *descriptorpb.FieldDescriptorProto {
		for _, f := range message(file, of).Field {
			if f.GetName() == name {
				return f
			}
		}
		t.Fatalf("no field %s.%s", of, name)
		return nil
	}
	method := func(file *descriptorpb.FileDescriptorProto, service int, name string) *descriptorpb.MethodDescriptorProto {
		for _, m := range file.Service[service].Method {
			if m.GetName() == name {
				return m
			}
		}
		t.Fatalf("no method %s", name)
		return nil
	}
	enumOf := func(file *descriptorpb.FileDescriptorProto, name string) *descriptorpb.EnumDescriptorProto {
		for _, e := range file.EnumType {
			if e.GetName() == name {
				return e
			}
		}
		t.Fatalf("no enum %s", name)
		return nil
	}
	type file = *descriptorpb.FileDescriptorProto
	mutations := []struct {
		name   string
		change func(f file)
		names  string
	}{
		{"field renumbered", func(f file) { field(f, "Mount", "host_path").Number = proto.Int32(99) }, "field runtime.v1.Mount.host_path:"},
		{"field renamed", func(f file) { field(f, "Mount", "host_path").Name = proto.String("hostpath") }, "field runtime.v1.Mount.hostpath: unknown there"},
		{"JSON name", func(f file) { field(f, "Mount", "host_path").JsonName = proto.String("path") }, "field runtime.v1.Mount.host_path:"},
		{"field type", func(f file) {
			field(f, "ContainerStatus", "exit_code").Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
		}, "field runtime.v1.ContainerStatus.exit_code:"},
		{"signed to zigzag", func(f file) {
			field(f, "ContainerStatus", "created_at").Type = descriptorpb.FieldDescriptorProto_TYPE_SINT64.Enum()
		}, "field runtime.v1.ContainerStatus.created_at:"},
		{"string to bytes", func(f file) {
			field(f, "KeyValue", "key").Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
		}, "field runtime.v1.KeyValue.key:"},
		{"message type of a field", func(f file) { field(f, "CpuUsage", "psi").TypeName = proto.String(".runtime.v1.PsiData") }, "field runtime.v1.CpuUsage.psi:"},
		{"enum type of a field", func(f file) {
			field(f, "Container", "state").TypeName = proto.String(".runtime.v1.PodSandboxState")
		}, "field runtime.v1.Container.state:"},
		{"label", func(f file) {
			field(f, "ExecSyncRequest", "timeout").Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}, "field runtime.v1.ExecSyncRequest.timeout:"},
		{"packing", func(f file) {
			field(f, "PortForwardRequest", "port").Options = &descriptorpb.FieldOptions{Packed: proto.Bool(false)}
		}, "field runtime.v1.PortForwardRequest.port:"},
		{"redaction lost", func(f file) { field(f, "AuthConfig", "password").Options = nil }, "field runtime.v1.AuthConfig.password:"},
		{"map to list", func(f file) { message(f, "ContainerConfig").NestedType[0].Options = nil }, "message runtime.v1.ContainerConfig."},
		{"map's value", func(f file) {
			message(f, "LinuxContainerResources").NestedType[0].Field[1].Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
		}, "field runtime.v1.LinuxContainerResources.UnifiedEntry.value:"},
		{"oneof added", func(f file) {
			m := message(f, "ImageFilter")
			m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("choice")})
			m.Field[0].OneofIndex = proto.Int32(0)
		}, "oneof runtime.v1.ImageFilter.choice: unknown there"},
		{"field gone", func(f file) { m := message(f, "Image"); m.Field = m.Field[:len(m.Field)-1] }, "field runtime.v1.Image.pinned: missing here"},
		{"field added", func(f file) {
			m := message(f, "StatusRequest")
			m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String("more"), Number: proto.Int32(2),
				Type: descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()})
		}, "field runtime.v1.StatusRequest.more: unknown there"},
		{"message added", func(f file) {
			f.MessageType = append(f.MessageType, &descriptorpb.DescriptorProto{Name: proto.String("Extra")})
		}, "message runtime.v1.Extra: unknown there"},
		{"method gone", func(f file) { f.Service[0].Method = f.Service[0].Method[1:] }, "method runtime.v1.RuntimeService.Version: missing here"},
		{"method added", func(f file) {
			f.Service[1].Method = append(f.Service[1].Method, &descriptorpb.MethodDescriptorProto{Name: proto.String("PushImage"),
				InputType: proto.String(".runtime.v1.PullImageRequest"), OutputType: proto.String(".runtime.v1.PullImageResponse")})
		}, "method runtime.v1.ImageService.PushImage: unknown there"},
		{"server streaming", func(f file) { method(f, 0, "GetContainerEvents").ServerStreaming = nil }, "method runtime.v1.RuntimeService.GetContainerEvents:"},
		{"client streaming", func(f file) { method(f, 0, "Status").ClientStreaming = proto.Bool(true) }, "method runtime.v1.RuntimeService.Status:"},
		{"input", func(f file) {
			method(f, 1, "ListImages").InputType = proto.String(".runtime.v1.ImageStatusRequest")
		}, "method runtime.v1.ImageService.ListImages:"},
		{"output", func(f file) {
			method(f, 1, "ListImages").OutputType = proto.String(".runtime.v1.ImageStatusResponse")
		}, "method runtime.v1.ImageService.ListImages:"},
		{"service gone", func(f file) { f.Service = f.Service[:1] }, "service runtime.v1.ImageService: missing here"},
		{"enum number", func(f file) { enumOf(f, "Signal").Value[23].Number = proto.Int32(915) }, "value runtime.v1.Signal.SIGNAL_SIGTERM:"},
		{"enum name", func(f file) { enumOf(f, "ContainerState").Value[3].Name = proto.String("CONTAINER_LOST") }, "value runtime.v1.ContainerState.CONTAINER_LOST: unknown there"},
		{"nested enum", func(f file) {
			message(f, "SecurityProfile").EnumType[0].Value = message(f, "SecurityProfile").EnumType[0].Value[:2]
		}, "value runtime.v1.SecurityProfile.ProfileType.Localhost: missing here"},
		{"enum value added", func(f file) {
			e := enumOf(f, "CgroupDriver")
			e.Value = append(e.Value, &descriptorpb.EnumValueDescriptorProto{Name: proto.String("NONE"), Number: proto.Int32(2)})
		}, "value runtime.v1.CgroupDriver.NONE: unknown there"},
	}
	theirs := theirFacts()
	own := ownSet(t)
	for _, mutation := range mutations {
		t.Run(strings.ReplaceAll(mutation.name, " ", "_"), func(t *testing.T) {
			set := proto.Clone(own).(*descriptorpb.FileDescriptorSet)
			changed := false
			for _, f := range set.File {
				if f.GetName() == ownFile {
					mutation.change(f)
					changed = true
				}
			}
			if !changed {
				t.Fatalf("no %s in the descriptor set", ownFile)
			}
			ours, err := factsOfSet(set)
			if err != nil {
				t.Fatalf("the mutated definition does not build, so this shows nothing: %v", err)
			}
			lines := Difference(ours, theirs)
			for _, line := range lines {
				if strings.HasPrefix(line, mutation.names) {
					return
				}
			}
			t.Errorf("expected a line that starts with %q, got %q", mutation.names, lines)
		})
	}
}
