package posthorn

import (
	"regexp"
	"strconv"
	"time"
)

var (
	dateTime    = regexp.MustCompile(`^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$`)
	withoutZone = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?$`)
)

const dayMinutes = 24 * 60

// rfc3339Problem says why text is no time as the service reads it: what follows "found <text>, ". Empty: it is one.
// time.Parse takes no leap seconds, and no space for the T.
func rfc3339Problem(text string) string {
	match := dateTime.FindStringSubmatch(text)
	if match == nil {
		if withoutZone.MatchString(text) {
			return "without a time zone, wanted an RFC 3339 time with Z or an offset such as +01:00"
		}
		return "wanted an RFC 3339 time"
	}
	number := func(at int) int {
		value, _ := strconv.Atoi(match[at])
		return value
	}
	year, month, day, hour, minute, second := number(1), number(2), number(3), number(4), number(5), number(6)
	offset := number(8)*60 + number(9)
	if match[7] == "-" {
		offset = -offset
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	minutes := hour*60 + minute - offset
	switch {
	case month < 1 || month > 12 || date.Day() != day || date.Month() != time.Month(month):
		return "no day of the calendar, wanted an RFC 3339 time"
	case hour > 23 || minute > 59 || second > 60:
		return "wanted an RFC 3339 time of day from 00:00:00 to 23:59:59"
	case number(8) > 23 || number(9) > 59:
		return "wanted an RFC 3339 offset from -23:59 to +23:59"
	case second == 60 && (minutes+dayMinutes)%dayMinutes != dayMinutes-1:
		return "wanted an RFC 3339 time, leap seconds at 23:59:60 UTC only"
	}
	if second == 60 {
		minutes++
	}
	isBefore := year == 0 && month == 1 && day == 1 && minutes < 0
	isAfter := year == 9999 && month == 12 && day == 31 && minutes >= dayMinutes
	if isBefore || isAfter {
		return "wanted an RFC 3339 time of the years 0000 to 9999 UTC"
	}
	return ""
}

// toRFC3339 writes a time in UTC with milliseconds, as Posthorn does.
func toRFC3339(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
