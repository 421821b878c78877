// Requests to the server, with its token where it asks for one.

// Where the browser keeps the token, until the tab is closed.
const TOKEN = "mmrest-token";

// The answer as JSON; an Error carries the server's own sentence. A server that asks for a token is given one.
export async function ask(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { ...options, headers });
  const answer = parsed(await response.text());
  if (!answer) throw new Error(`${response.status} ${response.statusText}, not from mmrest: is there a proxy before it?`);
  if (response.status === 401) {
    const given = window.prompt("The token of this server:")?.trim();
    if (given) {
      sessionStorage.setItem(TOKEN, given);
      return ask(path, options);
    }
  }
  if (!response.ok) throw new Error(answer.error ?? `the server answered ${response.status}`);
  return answer;
}

// A text as JSON; nothing where it is none, as the page of a proxy.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
