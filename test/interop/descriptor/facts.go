// Package descriptor compares the project's definition of the CRI with the one that Kubernetes ships.
package descriptor

import (
	"fmt"
	"sort"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Facts maps the full name of everything a peer can notice on the wire (or in its JSON form) to a sentence that describes it.
type Facts map[string]string

// FactsOf reads all services, methods, messages, fields, oneofs and enums of a file.
func FactsOf(file protoreflect.FileDescriptor) Facts {
	facts := Facts{
		"package": string(file.Package()),
		"syntax":  file.Syntax().String(),
	}
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		facts["service "+string(service.FullName())] = "declared"
		for j := range service.Methods().Len() {
			method := service.Methods().Get(j)
			facts["method "+string(method.FullName())] = fmt.Sprintf("takes %s (streams: %t), gives %s (streams: %t)",
				method.Input().FullName(), method.IsStreamingClient(), method.Output().FullName(), method.IsStreamingServer())
		}
	}
	facts.addMessages(file.Messages())
	facts.addEnums(file.Enums())
	return facts
}

func (facts Facts) addMessages(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		message := messages.Get(i)
		facts["message "+string(message.FullName())] = fmt.Sprintf("declared (map entry: %t)", message.IsMapEntry())
		for j := range message.Fields().Len() {
			facts["field "+string(message.Fields().Get(j).FullName())] = describeField(message.Fields().Get(j))
		}
		for j := range message.Oneofs().Len() {
			oneof := message.Oneofs().Get(j)
			facts["oneof "+string(oneof.FullName())] = fmt.Sprintf("declared (synthetic: %t)", oneof.IsSynthetic())
		}
		facts.addMessages(message.Messages())
		facts.addEnums(message.Enums())
	}
}

func (facts Facts) addEnums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		facts["enum "+string(enum.FullName())] = "declared"
		for j := range enum.Values().Len() {
			value := enum.Values().Get(j)
			// A value's full name lacks its enum's: two enums may not share it, yet a value may move between them.
			facts["value "+string(enum.FullName())+"."+string(value.Name())] = fmt.Sprintf("number %d", value.Number())
		}
	}
}

func describeField(field protoreflect.FieldDescriptor) string {
	kind := field.Kind().String()
	if field.Message() != nil {
		kind += " " + string(field.Message().FullName())
	}
	if field.Enum() != nil {
		kind += " " + string(field.Enum().FullName())
	}
	oneof := "none"
	if field.ContainingOneof() != nil {
		oneof = string(field.ContainingOneof().Name())
	}
	options, _ := field.Options().(*descriptorpb.FieldOptions)
	return fmt.Sprintf("number %d, %s %s, map: %t, packed: %t, presence: %t, oneof: %s, JSON name %s, redacted in logs: %t, deprecated: %t",
		field.Number(), field.Cardinality(), kind, field.IsMap(), field.IsPacked(), field.HasPresence(), oneof, field.JSONName(),
		options.GetDebugRedact(), options.GetDeprecated())
}

// Difference says, in a stable order, all that ours and theirs do not agree on, in both directions.
func Difference(ours, theirs Facts) []string {
	var lines []string
	for name, fact := range theirs {
		own, there := ours[name]
		switch {
		case !there:
			lines = append(lines, fmt.Sprintf("%s: missing here, theirs: %s", name, fact))
		case own != fact:
			lines = append(lines, fmt.Sprintf("%s: ours: %s; theirs: %s", name, own, fact))
		}
	}
	for name, fact := range ours {
		if _, there := theirs[name]; !there {
			lines = append(lines, fmt.Sprintf("%s: unknown there, ours: %s", name, fact))
		}
	}
	sort.Strings(lines)
	return lines
}
