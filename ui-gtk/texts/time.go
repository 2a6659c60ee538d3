package texts

import "time"

// Clock writes the time of the day: "14:32".
func (t *Texts) Clock(at time.Time) string { return at.Format("15:04") }

// Day writes a day as a heading between messages: "Today", "Thursday, 14 March",
// with the year when it is another than now's.
func (t *Texts) Day(at, now time.Time) string {
	switch days(at, now) {
	case 0:
		return t.T("Today")
	case 1:
		return t.T("Yesterday")
	}
	if at.Year() != now.Year() {
		// Translators: weekday, day, month, year.
		return t.F("%[1]s, %[2]d %[3]s %[4]d", t.weekday(at), at.Day(), t.month(at), at.Year())
	}
	// Translators: weekday, day, month.
	return t.F("%[1]s, %[2]d %[3]s", t.weekday(at), at.Day(), t.month(at))
}

// When writes, short enough for a list, when something was: the time today, then
// "Yesterday", the weekday of the last week, then the date.
func (t *Texts) When(at, now time.Time) string {
	switch n := days(at, now); {
	case n <= 0:
		return t.Clock(at)
	case n == 1:
		return t.T("Yesterday")
	case n < 7:
		return t.shortWeekday(at)
	case at.Year() == now.Year():
		// Translators: short date of this year: day, number of the month.
		return t.F("%[1]d/%[2]d", at.Day(), int(at.Month()))
	}
	// Translators: short date: day, number of the month, year.
	return t.F("%[1]d/%[2]d/%[3]d", at.Day(), int(at.Month()), at.Year())
}

// Moment writes day and time in full.
func (t *Texts) Moment(at, now time.Time) string {
	// Translators: a day, such as "Today" or "Thursday, 14 March", and a time.
	return t.F("%[1]s, %[2]s", t.Day(at, now), at.Format("15:04:05"))
}

// days is the number of midnights from at to now.
func days(at, now time.Time) int {
	date := func(x time.Time) time.Time { return time.Date(x.Year(), x.Month(), x.Day(), 0, 0, 0, 0, time.UTC) }
	return int(date(now).Sub(date(at)) / (24 * time.Hour))
}

func (t *Texts) weekday(at time.Time) string {
	return t.T([...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}[at.Weekday()])
}

func (t *Texts) shortWeekday(at time.Time) string {
	return t.T([...]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}[at.Weekday()])
}

func (t *Texts) month(at time.Time) string {
	return t.T([...]string{
		"January", "February", "March", "April", "May", "June",
		"July", "August", "September", "October", "November", "December",
	}[at.Month()-1])
}
