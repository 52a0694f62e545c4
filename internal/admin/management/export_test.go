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
