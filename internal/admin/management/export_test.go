package management

// Route is a row of the table of the API, for the test of rights.
type Route struct{ Pattern, Need string }

// Routes returns the table.
func Routes() (all []Route) {
	for _, r := range routes {
		all = append(all, Route{r.pattern, map[need]string{needNothing: "nothing", needUser: "user", needPolicymaker: "policymaker", needMonitoring: "monitoring", needAdministrator: "administrator"}[r.need]})
	}
	return all
}

// Get takes messages from a queue and gives them back, at most count and no more
// after most bytes; it returns how many there were.
func Get(n Node, queue string, count, most int) (int, error) {
	c, err := (&api{node: n}).dial(&request{user: "guest", password: "guest"}, "/")
	if err != nil {
		return 0, err
	}
	defer c.nc.Close()
	all, err := c.get(queue, count, most, true, false)
	return len(all), err
}
