package viewmodel

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// declared is a reason that the core, the directory or a plugin of Parley's gives
// somewhere, with the keys of its metadata there.
type declared struct {
	domain, reason string
	keys           []string
	at             string
}

// declaredReasons finds all in the source: what Because is called with, and the column
// of the core's table of kinds.
func declaredReasons(t *testing.T) (all []declared) {
	t.Helper()
	for domain, folder := range map[string]string{
		"parley": "core", "directory": "server/api",
		"text": "plugins/text", "file": "plugins/file", "group": "plugins/group", "emoji": "plugins/emoji",
	} {
		root := filepath.Join("..", "..", filepath.FromSlash(folder))
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				at := func(n ast.Node) string { return files.Position(n.Pos()).String() }
				if spec, ok := n.(*ast.ValueSpec); ok && path == filepath.Join("..", "..", "core", "errors.go") && spec.Names[0].Name == "kinds" {
					for _, kind := range spec.Values[0].(*ast.CompositeLit).Elts { // {error, code, reason}
						columns := kind.(*ast.CompositeLit).Elts
						if reason := literal(columns[len(columns)-1]); reason != "" {
							all = append(all, declared{domain, reason, nil, at(kind)})
						}
					}
				}
				call, ok := n.(*ast.CallExpr)
				if !ok || !strings.EqualFold(called(call), "because") {
					return true
				}
				d := declared{domain: domain, at: at(call)}
				if d.reason = literal(call.Args[0]); d.reason == "" || len(call.Args)%2 == 0 {
					t.Errorf("%s: a reason is a string literal, and keys and values by turns", d.at)
				}
				for i := 1; i < len(call.Args); i += 2 {
					d.keys = append(d.keys, literal(call.Args[i]))
				}
				all = append(all, d)
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(l.Value)
	if err != nil {
		return ""
	}
	return s
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

// TestReasons: the window says something for every reason that is given, of what is
// given with it everywhere, and for nothing else.
func TestReasons(t *testing.T) {
	given := map[string]map[string]bool{}
	for _, d := range declaredReasons(t) {
		if given[d.domain] == nil {
			given[d.domain] = map[string]bool{}
		}
		given[d.domain][d.reason] = true
		say, ok := sayings[d.domain][d.reason]
		if !ok {
			t.Errorf("%s: the window has nothing to say for %s of %s", d.at, d.reason, d.domain)
		}
		if !failure.Valid(d.reason, map[string]string{}) {
			t.Errorf("%s: %s is out of bounds", d.at, d.reason)
		}
		for _, key := range say.params {
			// The core's table of kinds knows no names; then the sentence is shown.
			if d.keys != nil && !slices.Contains(d.keys, key) {
				t.Errorf("%s: %s comes without %q, which the window says", d.at, d.reason, key)
			}
		}
		for _, key := range d.keys {
			if !failure.Valid(d.reason, map[string]string{key: ""}) {
				t.Errorf("%s: the key %q is out of bounds", d.at, key)
			}
		}
	}
	for domain, reasons := range sayings {
		for name, say := range reasons {
			if !given[domain][name] {
				t.Errorf("nobody gives the reason %s of %s any more", name, domain)
			}
			if n := verbs(say.text); n != len(say.params) {
				t.Errorf("%q has %d verbs, and %d parameters", say.text, n, len(say.params))
			}
		}
	}
}

// verbs counts the different verbs of a format.
func verbs(format string) int {
	numbered := map[string]bool{}
	for i := range format {
		if strings.HasPrefix(format[i:], "%[") {
			numbered[format[i:i+3]] = true
		}
	}
	return len(numbered) + strings.Count(format, "%s")
}

// TestTell: what stands in a sentence is what the window calls it, and harmless.
func TestTell(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bobby", State: controlpb.ContactState_CONTACT_STATE_CONTACT}}
	w := openWindow(t, core)
	s := w.session
	w.until("the contact is there", func() bool { return s.Contacts.Get("bob") != nil })
	info := func(domain, name string, params ...any) *controlpb.Reason {
		return &controlpb.Reason{Domain: domain, Reason: name, Metadata: failure.Metadata(params...)}
	}
	const sentence = "what the core says\x1b[31m"
	const harmless = "what the core says␛[31m"
	long := strings.Repeat("x", 500)
	for name, c := range map[string]struct {
		why    *controlpb.Reason
		en, zh string
	}{
		"a name":                {info("parley", "IS_CONTACT", "user", "bob"), "Bobby is a contact already.", "Bobby 已经是联系人。"},
		"two":                   {info("group", "UNKNOWN_MEMBER", "user", "eve", "group", "Chess"), "eve is not in the group “Chess”.", "eve 不在“Chess”群里。"},
		"nothing in it":         {info("text", "EMPTY"), "The text is empty. Write something first.", "文本为空，请先输入内容。"},
		"more than is said":     {info("text", "EMPTY", "size", 0), "The text is empty. Write something first.", "文本为空，请先输入内容。"},
		"hostile":               {info("group", "NOT_ADMIN", "group", "a\nb\u202e%s\x1b[2J"), "Only an admin of the group “a b\ufffd%s␛[2J” can do this. Ask one.", ""},
		"endless":               {info("file", "HERE_ALREADY", "file", long), long[:maxShownParam] + " is here already.", ""},
		"without its name":      {info("parley", "IS_CONTACT"), harmless, harmless},
		"of a later version":    {info("parley", "NOBODY_KNOWS"), harmless, harmless},
		"of another plugin":     {info("poll", "EMPTY"), harmless, harmless},
		"no domain":             {info("", "EMPTY"), harmless, harmless},
		"as it comes":           {info("parley", "LOCKED"), harmless, harmless},
		"none":                  {nil, harmless, harmless},
		"a cause that is known": {info("parley", "PROFILE_REFUSED", "why", "it was changed or removed before everybody had it"), "", "目录服务器拒绝了你的名称或图片：文件在所有人收到之前被更改或移走了"},
	} {
		t.Run(name, func(t *testing.T) {
			for language, want := range map[string]string{"en": c.en, "zh-Hans": c.zh} {
				s.Texts().Use(language)
				if got := s.tell(c.why, sentence); want != "" && got != want {
					t.Errorf("%s: %q, not %q", language, got, want)
				}
			}
		})
	}
	s.Texts().Use("zh-Hans")
	for _, c := range []struct {
		err  error
		want string
	}{
		{failure.Status(codes.PermissionDenied, "only an admin can rename", &errdetails.ErrorInfo{Domain: "group", Reason: "NOT_ADMIN", Metadata: map[string]string{"group": "棋"}}), "只有“棋”群的管理员可以这样做，请联系管理员。"},
		{failure.Status(codes.DeadlineExceeded, "not handled yet", &errdetails.ErrorInfo{Domain: "group", Reason: "SLOW"}), "更改已提交，但尚未完成。请稍后再查看此群。"},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), "等待时间过长，请重试。"},
		{status.Error(codes.Internal, "some English"), "some English"},
	} {
		if got := s.Sentence(c.err); got != c.want {
			t.Errorf("%v: %q, not %q", c.err, got, c.want)
		}
	}
}
