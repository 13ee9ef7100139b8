// The signed-in part: its links change the address and the view without loading a page.
(() => {
	const view = document.getElementById("view");
	const shows = {
		"/account": () => ["Your account", "Welcome back."],
		"/account/settings": () => ["Settings", "There is nothing to set yet."],
		"/account/orders": async () => {
			const orders = await (await fetch("/api/orders")).json();
			return ["Your orders", orders.map(o => o.ID).join(", ") || "None yet."];
		},
	};
	const show = async () => {
		const [title, text] = await (shows[location.pathname] || shows["/account"])();
		document.title = title;
		view.textContent = text;
	};
	document.getElementById("views").addEventListener("click", e => {
		if (e.target.tagName != "A") return;
		e.preventDefault();
		history.pushState(null, "", e.target.href);
		show();
	});
	addEventListener("popstate", show);
	show();
})();
