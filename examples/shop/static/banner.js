// Shows the banner until the visitor has decided, and hands the decision to the server.
(() => {
	const banner = document.getElementById("banner");
	banner.hidden = /(^|; )cookie_status=/.test(document.cookie);
	document.addEventListener("click", async e => {
		const action = e.target.dataset && e.target.dataset.consent;
		if (action && await sidetrack.consent(action)) banner.hidden = true;
	});
})();
