package core

import (
	"io/fs"
	"os"
	"regexp"
)

// A firewall is a program that may keep others from connecting to this machine,
// and how its owner lets them.
type firewall struct {
	name  string
	file  string         // below the root
	says  *regexp.Regexp // in the file when it is on; nil: that the file is there
	allow string         // a command, with %d for the port
}

// firewalls that a desktop or server comes with. Their rules are for root only,
// so all that can be said is that they are on.
var firewalls = []firewall{
	{"ufw", "etc/ufw/ufw.conf", regexp.MustCompile(`(?m)^\s*ENABLED=["']?yes`), "sudo ufw allow %d/tcp"},
	{"firewalld", "run/firewalld.pid", nil, "sudo firewall-cmd --add-port=%d/tcp"},
	{"nftables", "etc/systemd/system/sysinit.target.wants/nftables.service", nil, "sudo nft add rule inet filter input tcp dport %d accept"},
}

func (f firewall) on(root fs.FS) bool {
	if f.says == nil {
		_, err := fs.Lstat(root, f.file)
		return err == nil
	}
	b, err := fs.ReadFile(root, f.file)
	return err == nil && f.says.Match(b)
}

// machine is the root of this machine's files.
func machine() fs.FS { return os.DirFS("/") }
