// What a web page can have its visitor's browser do. Each function is run in the page by the tests.
const wrong = () => new URLSearchParams({ username: "user1", password: "wr0ng-w0rd" });

// ended gives a promise that an element ends, well or not; where nobody tells, in a second.
const ended = (element) => new Promise((done) => {
	element.onload = element.onerror = done;
	setTimeout(done, 1000);
	document.body.append(element);
});

const make = (name, attributes) => Object.assign(document.createElement(name), attributes);

// submit sends a form to a target: a frame by its name, or _self.
function submit(url, target, enctype) {
	const form = make("form", { method: "POST", action: url, target, enctype });
	for (const [name, value] of wrong()) form.append(make("input", { type: "hidden", name, value }));
	if (enctype === "text/plain") form.replaceChildren(make("input", { type: "hidden", name: '{"username":"user1","password":"wr0ng-w0rd","x":"', value: '"}' }));
	document.body.append(form);
	form.submit();
	return true;
}

// guess tries a password in each way that leaves the page open, and gives how many there were.
async function guess(url) {
	let tried = 0;
	const post = { method: "POST", body: wrong() };
	const ways = [
		() => fetch(url, { ...post, mode: "no-cors" }),
		() => fetch(url, { ...post, mode: "no-cors", referrerPolicy: "no-referrer", credentials: "include" }),
		() => fetch(url, { ...post, mode: "cors" }),
		() => fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(Object.fromEntries(wrong())) }),
		() => navigator.sendBeacon(url, wrong()),
		async () => {
			const frame = make("iframe", { name: "frame" + Math.random() });
			const loaded = ended(frame);
			submit(url, frame.name, "application/x-www-form-urlencoded");
			await loaded;
		},
		async () => { // whose origin is null
			const script = `fetch(${JSON.stringify(url)}, {method: "POST", mode: "no-cors", body: new URLSearchParams("${wrong()}")}).finally(() => parent.postMessage("done", "*"))`;
			const frame = make("iframe", { srcdoc: `<script>${script}</` + "script>" });
			frame.sandbox = "allow-scripts";
			const told = new Promise((done) => addEventListener("message", done, { once: true }));
			document.body.append(frame);
			await told;
		},
		() => ended(make("img", { src: url + "?" + wrong() })),
		() => new Promise((done) => { new WebSocket(url.replace("http", "ws") + "?" + wrong()).onclose = done; }),
	];
	for (const way of ways) {
		await Promise.resolve().then(way).catch(() => {});
		tried++;
	}
	return tried;
}

// load asks for a URL in each way that a page has for a GET, and gives how many there were.
async function load(url) {
	const aborts = () => AbortSignal.timeout(1000);
	const ways = [
		() => fetch(url, { signal: aborts() }),
		() => fetch(url, { mode: "no-cors", signal: aborts() }),
		() => fetch(url, { mode: "no-cors", referrerPolicy: "no-referrer", headers: { "Accept-Language": "" }, signal: aborts() }),
		() => ended(make("img", { src: url, referrerPolicy: "no-referrer" })),
		() => ended(make("script", { src: url })),
		() => ended(make("link", { rel: "stylesheet", href: url })),
		() => ended(make("link", { rel: "prefetch", href: url })),
		() => ended(make("iframe", { src: url, referrerPolicy: "no-referrer" })),
		() => ended(make("video", { src: url })),
		() => new Promise((done) => {
			const events = new EventSource(url);
			events.onopen = events.onerror = () => { events.close(); done(); };
		}),
	];
	for (const way of ways) await Promise.resolve().then(way).catch(() => {});
	return ways.length;
}

// read asks for a path of the page's own origin and gives what the page can read.
async function read(path) {
	const body = wrong();
	const asked = [
		fetch(path),
		fetch(path, { referrerPolicy: "no-referrer", headers: { "Accept-Language": "" } }),
		fetch(path, { referrerPolicy: "no-referrer", headers: { "Accept-Language": "*", "User-Agent": "node" } }),
		fetch(path, { mode: "no-cors" }),
		fetch(path, { method: "POST", body }),
		fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(Object.fromEntries(body)) }),
	];
	return Promise.all(asked.map(async (one) => {
		const answer = await one;
		return { status: answer.status, text: await answer.text() };
	}));
}
