package atspi

// Role is what an element is: AtspiRole, of which these are those that Parley has.
type Role uint32

// Roles.
const (
	Alert        Role = 2
	CheckBox     Role = 7
	ComboBox     Role = 11
	Dialog       Role = 16
	DrawingArea  Role = 18
	FileChooser  Role = 19
	Filler       Role = 20
	Icon         Role = 26
	Image        Role = 27
	Label        Role = 29
	List         Role = 31
	ListItem     Role = 32
	Menu         Role = 33
	MenuItem     Role = 35
	PageTab      Role = 37
	Panel        Role = 39
	PasswordText Role = 40
	ProgressBar  Role = 42
	PushButton   Role = 43
	RadioButton  Role = 44
	ScrollPane   Role = 49
	Separator    Role = 50
	Slider       Role = 51
	SpinButton   Role = 52
	StatusBar    Role = 54
	Text         Role = 61
	ToggleButton Role = 62
	ToolBar      Role = 63
	Window       Role = 69
	Frame        Role = 23
	Paragraph    Role = 73
	Application  Role = 75
	Entry        Role = 79
	Heading      Role = 83
	Link         Role = 88
	ListBox      Role = 98
	Notification Role = 101
	InfoBar      Role = 102
	LevelBar     Role = 103
	Log          Role = 111
)

// State is one of those an element is in: AtspiStateType.
type State uint32

// States.
const (
	Active    State = 1 // of a window: it has the keyboard
	Checked   State = 4
	Editable  State = 7
	Expanded  State = 10
	Focusable State = 11
	Focused   State = 12
	Pressed   State = 20
	Selected  State = 23
	Sensitive State = 24 // it can be used
	Showing   State = 25
)
