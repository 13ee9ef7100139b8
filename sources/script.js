// The first-party script: what only the browser knows. It stores nothing and sends to the endpoint "event"
// beside it, once the visitor has agreed. Lines of comment and indentation are left out when it is served.
(() => {
const script = document.currentScript, set = script.dataset, doc = document, at = location;
const base = script.src.replace(/[^/]*$/, "");
const status = set.consent || "cookie_status";
let url = at.href, from = doc.referrer, spent = 0, since = 0;

// "server" leaves the decision to the server, which makes it in any case.
const granted = () => status == "server" || RegExp("(^|; )" + status + "=(1|[^;]*analytics_storage(:|%3A)granted)(;|\\||,|$)").test(doc.cookie);

// Time counts while the page is visible and has the focus.
const attend = () => {
	const now = performance.now();
	if (since) spent += now - since;
	since = doc.visibilityState == "visible" && doc.hasFocus() ? now : 0;
};
const send = (name, params) => {
	attend();
	if (!granted()) return;
	navigator.sendBeacon(base + "event", JSON.stringify({
		name, url, params, title: doc.title, referrer: from, engagement: Math.round(spent),
		screen: screen.width + "x" + screen.height, viewport: innerWidth + "x" + innerHeight, colors: screen.colorDepth, language: navigator.language
	}));
	spent = 0;
};
const view = () => send("page_view");
const leave = () => {
	attend();
	if (spent >= 1000) send("engagement");
};
const bare = s => s.split("#")[0];
// The title of a page that is shown without loading it is often set a moment later.
const moved = () => {
	if (bare(at.href) == bare(url)) return;
	leave();
	from = url;
	url = at.href;
	setTimeout(view, 50);
};
// The visitor came from elsewhere: the server does not know the screen yet.
const ping = async () => {
	if (set.ping != "off" && granted() && from.indexOf(at.origin + "/"))
		await fetch(base + "ping?" + new URLSearchParams({r: screen.width + "x" + screen.height, v: innerWidth + "x" + innerHeight, c: screen.colorDepth, l: navigator.language}), {keepalive: true});
};
const clicked = e => {
	const a = e.target.closest && e.target.closest("a[href]");
	if (!a || !/^http/.test(a.protocol)) return;
	const file = /\/([^/]+\.(pdf|xlsx?|docx?|pptx?|txt|csv|zip|gz|7z|rar|dmg|pkg|exe|msi|apk|mp[34]|wav|avi|mov|mkv))$/i.exec(a.pathname);
	if (file && "downloads" in set) send("file_download", {link_url: a.href, file_name: file[1], file_extension: file[2].toLowerCase()});
	else if (a.host != at.host && "outbound" in set) send("click", {link_url: a.href, link_domain: a.hostname, outbound: true});
};
const start = () => {
	attend();
	ping();
	// "cache" or "navigational-prefetch": the server has not seen this visit, or did not count it.
	if ((performance.getEntriesByType("navigation")[0] || {}).deliveryType) view();
	for (const f of ["pushState", "replaceState"]) {
		const was = history[f];
		history[f] = function () {
			was.apply(this, arguments);
			moved();
		};
	}
	addEventListener("popstate", moved);
	addEventListener("focus", attend);
	addEventListener("blur", attend);
	addEventListener("pagehide", leave);
	addEventListener("pageshow", e => {
		// From the back/forward cache: shown again without a request.
		if (e.persisted) view();
	});
	doc.addEventListener("visibilitychange", () => doc.visibilityState == "hidden" ? leave() : attend());
	addEventListener("click", clicked, true);
	addEventListener("auxclick", clicked, true);
};
window.sidetrack = {
	event: send,
	// A page that was served before the visitor agreed has not been counted. One request comes first: its
	// answer tells the browser who the visitor is.
	consent: async action => {
		const before = granted();
		const r = await fetch(base + "consent", {method: "POST", body: new URLSearchParams({action})});
		if (r.ok && !before && granted()) ping().finally(view);
		return r.ok;
	}
};
if (doc.prerendering) doc.addEventListener("prerenderingchange", () => {
	view();
	start();
}, {once: true});
else start();
})();
