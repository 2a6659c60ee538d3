package packet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write testdata/golden anew; never where a release has spoken it")

const goldenDir = "testdata/golden"

// golden is one file: what a person reads, and the bytes it stands for.
type golden struct {
	Kind   string          `json:"kind"`
	Fields json.RawMessage `json:"fields"`
	Hex    []string        `json:"hex"` // 32 bytes a line
}

func (g golden) bytes(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for _, line := range g.Hex {
		b, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// TestGoldenFrames freezes the wire: these bytes are what this version says, and
// what every later one must understand.
func TestGoldenFrames(t *testing.T) {
	all := frames(t)
	for name, frame := range all {
		t.Run(name, func(t *testing.T) {
			encoded, err := AppendFrame(nil, frame)
			if err != nil {
				t.Fatal(err)
			}
			want := compareGolden(t, name, frame, encoded)
			decoded, err := ReadFrame(bytes.NewReader(want), MaxFrame)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(frame, decoded, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decoded differs (-want +got):\n%s", diff)
			}
		})
	}
	streams := streamFrames(t)
	for _, name := range goldenNames(t) {
		if all[name] == nil && streams[name] == nil && name != "names" && name != "folder" {
			t.Errorf("%s/%s.json has no frame in the tests: a vector is never given up", goldenDir, name)
		}
	}
}

// TestGoldenStreamFrames freezes what bulk streams carry.
func TestGoldenStreamFrames(t *testing.T) {
	for name, frame := range streamFrames(t) {
		t.Run(name, func(t *testing.T) {
			encoded, err := AppendStreamFrame(nil, frame)
			if err != nil {
				t.Fatal(err)
			}
			want := compareGolden(t, name, frame, encoded)
			decoded, err := ReadStreamFrame(bytes.NewReader(want), MaxStreamFrame)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(frame, decoded, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decoded differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoldenFolder freezes the index of a folder.
func TestGoldenFolder(t *testing.T) {
	encoded, err := testFolder().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := compareGolden(t, "folder", testFolder(), encoded)
	decoded, size, err := DecodeFolder(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testFolder(), decoded); diff != "" || size != PieceSize+5 {
		t.Errorf("decoded to %d bytes, and differs (-want +got):\n%s", size, diff)
	}
}

// TestGoldenSignatures checks the vectors' signatures by the keys alone.
func TestGoldenSignatures(t *testing.T) {
	for name, frame := range frames(t) {
		switch f := frame.(type) {
		case *Packet:
			if f.Header.Delivery == Reliable {
				if err := f.Verify(public(aliceKey)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		case *Registers:
			if err := f.Registers[0].Verify(public(bobKey)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	m := testManifest(t)
	if err := m.Verify(public(aliceKey)); err != nil {
		t.Error(err)
	}
	if err := m.Verify(public(bobKey)); err == nil {
		t.Error("a manifest by alice is bob's")
	}
	m.Raw = bytes.Clone(m.Raw)
	m.Raw[len(m.Raw)-1] ^= 1
	if err := m.Verify(public(aliceKey)); err == nil {
		t.Error("a changed manifest verifies")
	}
}

// TestGoldenNames freezes how keys become ids, and a place becomes an order key.
func TestGoldenNames(t *testing.T) {
	h := textHeader(t)
	order := h.Order()
	names := map[string]string{
		"alice public key": hex.EncodeToString(public(aliceKey)),
		"alice device id":  DeviceIDOf(public(aliceKey)).String(),
		"bob public key":   hex.EncodeToString(public(bobKey)),
		"bob device id":    DeviceIDOf(public(bobKey)).String(),
		"direct chat":      string(DirectChat("bob", "alice")),
		"packet id":        h.ID.String(),
		"order key":        hex.EncodeToString(order[:]),
		"hash of hello":    fmt.Sprintf("%x", HashOf([]byte("hello"))),
		"hash of nothing":  fmt.Sprintf("%x", HashOf(nil)),
		"entry key":        h.Key().String(),
	}
	compareGolden(t, "names", names, nil)
}

// compareGolden compares with the file, or writes it, and gives its bytes.
func compareGolden(t *testing.T, name string, value any, encoded []byte) []byte {
	t.Helper()
	path := filepath.Join(goldenDir, name+".json")
	fields, err := json.Marshal(view(reflect.ValueOf(value)))
	if err != nil {
		t.Fatal(err)
	}
	got := golden{Kind: reflect.Indirect(reflect.ValueOf(value)).Type().String(), Fields: fields}
	for line := range slices.Chunk(encoded, 32) {
		got.Hex = append(got.Hex, hex.EncodeToString(line))
	}
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (a new vector is written by: go test ./protocol/packet -update)", err)
	}
	if diff := cmp.Diff(string(file), string(text)); diff != "" {
		t.Errorf("%s: the wire changed, old peers would not understand it (-golden +now):\n%s", path, diff)
	}
	var want golden
	if err := json.Unmarshal(file, &want); err != nil {
		t.Fatal(err)
	}
	return want.bytes(t)
}

func goldenNames(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(goldenDir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path[:len(path)-len(".json")]))
	}
	return names
}

// view turns a value into what JSON shows best: ids as their names, bytes as
// hex.
func view(v reflect.Value) any {
	if s, ok := v.Interface().(fmt.Stringer); ok && v.Kind() == reflect.Array {
		return s.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return view(v.Elem())
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") == "-" {
				continue // never on the wire
			}
			fields[v.Type().Field(i).Name] = view(v.Field(i))
		}
		return fields
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%x", v.Interface())
		}
		items := []any{}
		for i := range v.Len() {
			items = append(items, view(v.Index(i)))
		}
		return items
	default:
		return v.Interface()
	}
}
