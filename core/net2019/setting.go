package net2019

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// namespace of the package's values, and their keys.
const (
	namespace = "net2019"

	keySetting = "setting" // JSON of a setting
)

// setting is what the user has chosen. It stays while it is off, but for the
// password.
type setting struct {
	On bool    `json:"on"`
	ID wire.ID `json:"id"`
	// Port to listen on; 0: the usual one if it is free, else any.
	Port uint16 `json:"port,omitempty"`
	// Server is "host:port"; empty: the account's own directory.
	Server   string `json:"server,omitempty"`
	Password string `json:"password,omitempty"`
	Course   bool   `json:"course,omitempty"`
}

// readSetting gives what was chosen; the zero setting when nothing ever was.
func readSetting(tx store.ReadTx) (setting, error) {
	var s setting
	b, err := tx.Value(namespace, keySetting)
	if notFound(err) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err == nil && s.ID != "" {
		_, err = wire.ParseID(string(s.ID))
	}
	if err != nil {
		return setting{}, fmt.Errorf("read the setting of net2019: %w", err)
	}
	return s, nil
}

func (s setting) put(tx store.Tx) error {
	b, err := json.Marshal(s)
	if err == nil {
		err = tx.PutValue(namespace, keySetting, b)
	}
	if err != nil {
		return fmt.Errorf("keep the setting of net2019: %w", err)
	}
	return nil
}

// chosen makes a setting of what is asked for; id and port are those of before
// where none are given.
func chosen(req *controlpb.LogInNet2019Request, before setting) (setting, error) {
	s := setting{On: true, ID: before.ID, Server: req.GetServer(), Password: req.GetPassword(), Course: req.GetCourse()}
	if req.GetId() != "" {
		id, err := wire.ParseID(strings.TrimPrefix(req.GetId(), "net2019:"))
		if err != nil {
			return s, failure.New(ErrInvalid, "%.40q is no id of 2019: it has ten digits, such as 2017000001", req.GetId()).Because("NET2019_ID")
		}
		s.ID = id
	}
	if s.ID == "" {
		return s, failure.New(ErrInvalid, "say which id you have in 2019: ten digits, such as 2017000001").Because("NET2019_ID")
	}
	if p := req.GetPort(); p != 0 {
		if p > 65535 || wire.CheckPort(uint16(p)) != nil {
			return s, failure.New(ErrInvalid, "port %d cannot be taken for net2019: it is one of 1025 to 65535, and not one that databases use", p).Because("NET2019_PORT_INVALID", "port", p)
		}
		s.Port = uint16(p)
	}
	if s.Course && s.Port != 0 && s.Port != wire.DefaultPort {
		return s, failure.New(ErrInvalid, "with the course's log-in, which names no port, others connect to %d: leave the port out", wire.DefaultPort).Because("NET2019_COURSE_PORT", "port", wire.DefaultPort)
	}
	if s.Course {
		s.Port = wire.DefaultPort
	}
	if s.Server == "" {
		if s.Password != "" || s.Course {
			return s, failure.New(ErrInvalid, "a password and the course's form are for servers of 2019; the account's own directory needs neither").Because("NET2019_NO_SERVER")
		}
		return s, nil
	}
	if err := wire.CheckPassword(s.Password); err != nil {
		return s, failure.New(ErrInvalid, "that cannot be the password of a server of 2019: %v", err).Because("NET2019_PASSWORD")
	}
	var err error
	s.Server, err = parseServer(s.Server, s.Course)
	return s, err
}

const maxHost = 253

// parseServer gives "host:port".
func parseServer(server string, course bool) (string, error) {
	bad := failure.New(ErrInvalid, "%.100q is no server: write HOST:PORT, such as chat.example.org:%d", server, wire.DirectoryPort).Because("NET2019_ADDRESS", "server", server)
	host, port, err := net.SplitHostPort(server)
	if err != nil { // no port, or an address with too many colons
		host, port = strings.Trim(server, "[]"), strconv.Itoa(wire.DirectoryPort)
		if course {
			port = strconv.Itoa(wire.CoursePort)
		}
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", bad
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" || len(host) > maxHost || strings.ContainsAny(host, " /@\x00") {
		return "", bad
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}
