(() => {
  const pictures = [...document.querySelectorAll(".compare")];
  if (!pictures.length) return;
  const buttons = [...document.querySelectorAll(".views button")];
  const show = (view) => {
    for (const compare of pictures) compare.dataset.view = view;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === view));
  };
  for (const button of buttons) button.addEventListener("click", () => show(button.value));
  for (const compare of pictures) {
    const range = compare.querySelector(".position input");
    const stage = compare.querySelector(".stage");
    const move = (share) => {
      range.value = String(Math.round(1000 * Math.min(1, Math.max(0, share))));
      stage.style.setProperty("--pos", range.value / 10 + "%");
    };
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      move((event.clientX - box.left) / box.width);
    };
    range.addEventListener("input", () => move(range.value / 1000));
    stage.addEventListener("pointerdown", (event) => {
      if (compare.dataset.view !== "slider") return;
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) follow(event);
    });
    move(0.5);
  }
  // Of several inputs one is shown at a time; without this script, and on paper, all are.
  const choice = document.querySelector(".choice select");
  const choose = (input) => {
    for (const each of document.querySelectorAll("[data-input]")) each.classList.toggle("chosen", each.dataset.input === input);
  };
  if (choice) choice.addEventListener("change", () => choose(choice.value));
  document.documentElement.classList.add("scripted");
})();
