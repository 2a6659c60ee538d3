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
	for limit, n := range s.Limited() {
		tell(limited, prometheus.CounterValue, float64(n), limit)
	}
}
