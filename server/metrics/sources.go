package metrics

import "github.com/prometheus/client_golang/prometheus"

var (
	sessions    = desc("sessions", "Sessions held.")
	online      = desc("users_online", "Users who are online.")
	accounts    = desc("accounts", "Accounts.")
	invites     = desc("invites", "Invites, also spent ones.")
	waiting     = desc("requests_waiting", "Requests that wait for their receivers.")
	presences   = desc("presence_changes_total", "Changes of presence.")
	kept        = desc("requests_kept_total", "Requests that were kept for their receivers.")
	computing   = desc("password_hashes_computing", "Password hashes being computed.")
	hashWaiting = desc("password_hashes_waiting", "Password hashes that wait for their turn.")
	expiry      = desc("certificate_expiry_timestamp_seconds", "When the TLS certificate in use expires, in Unix time.")
	limited     = desc("rate_limited_total", "Calls and messages that were refused because there were too many, by limit.", "limit")

	net2019Served      = desc("net2019_served", "1 while the protocol of 2019 is served, which is not encrypted.", "encryption")
	net2019Connections = desc("net2019_connections", "Connections in the protocol of 2019.")
	net2019Online      = desc("net2019_users_online", "Users online in the protocol of 2019, by client.", "client")
	net2019Commands    = desc("net2019_commands_total", "Commands in the protocol of 2019, by command and result.", "command", "result")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("parley_"+name, help, labels, nil)
}

// sources is a collector of what others count.
type sources struct{ Sources }

// Describe implements prometheus.Collector.
func (s *sources) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *sources) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	stats := s.Directory()
	tell(sessions, prometheus.GaugeValue, float64(stats.Sessions))
	tell(online, prometheus.GaugeValue, float64(stats.Online))
	tell(accounts, prometheus.GaugeValue, float64(stats.Accounts))
	tell(invites, prometheus.GaugeValue, float64(stats.Invites))
	tell(waiting, prometheus.GaugeValue, float64(stats.Requests))
	tell(presences, prometheus.CounterValue, float64(stats.PresenceChanges))
	tell(kept, prometheus.CounterValue, float64(stats.RequestsKept))
	c, w := s.Hashes()
	tell(computing, prometheus.GaugeValue, float64(c))
	tell(hashWaiting, prometheus.GaugeValue, float64(w))
	tell(expiry, prometheus.GaugeValue, float64(s.Certificate().NotAfter.Unix()))
	old := s.Net2019()
	tell(net2019Served, prometheus.GaugeValue, served(old.Served), "none")
	tell(net2019Connections, prometheus.GaugeValue, float64(old.Connections))
	tell(net2019Online, prometheus.GaugeValue, float64(old.Originals), "original")
	tell(net2019Online, prometheus.GaugeValue, float64(old.Natives), "native")
	for _, c := range old.Commands {
		tell(net2019Commands, prometheus.CounterValue, float64(c.N), c.Command, c.Result)
	}
	tell(limited, prometheus.CounterValue, float64(old.Limited), "net2019_log_in")
	for limit, n := range s.Limited() {
		tell(limited, prometheus.CounterValue, float64(n), limit)
	}
}

func served(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
