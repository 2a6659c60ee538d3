package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// backgroundNice is the nice value of the core and of its plugins, which inherit it:
// beside a program of the usual 0 that wants the processor as well, they get a quarter
// of it. While hundreds of messages a second come they want nearly a whole one, and
// the window, in which somebody types meanwhile, would wait behind them; a message that
// is here some milliseconds later nobody notices. A processor that nobody else wants
// they have for themselves.
const backgroundNice = 5

// background has this process give way to what people look at, with all of its
// threads and what it starts from now on. A nicer one stays so.
func background() error {
	// Linux keeps the value for each thread, which gives it to those that it starts. So
	// once none is found that lacks it, there will be none.
	for changed := true; changed; {
		changed = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("lower the priority: %w", err)
			}
			// The kernel gives 20 less the nice value, so that it is never below 0.
			from20, err := unix.Getpriority(unix.PRIO_PROCESS, id)
			if err == nil && 20-from20 < backgroundNice {
				changed = true
				err = unix.Setpriority(unix.PRIO_PROCESS, id, backgroundNice)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return fmt.Errorf("lower the priority: %w", err)
			}
		}
	}
	// Where the kernel shares the processor between sessions first, nice values count
	// inside of one alone; the session of a core that the window started is its own.
	session, err := unix.Getsid(0)
	if err != nil {
		return fmt.Errorf("lower the priority of the session: %w", err)
	}
	if session != os.Getpid() {
		return nil
	}
	err = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(backgroundNice)), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("lower the priority of the session: %w", err)
	}
	return nil
}
